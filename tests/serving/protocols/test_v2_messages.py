"""The protocol's messages: those of the proto file, and those that its clients have."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tritonclient.grpc import service_pb2 as triton_messages

from serving.protocols.v2_messages.messages import CALLS, DESCRIPTORS, PACKAGE, POOL, SERVICE


def of_messages(described: Any) -> dict[str, tuple]:
    """Each field's number, type and form in a message and in those that it holds, by their names."""
    found: dict[str, tuple] = {described.full_name: ()}
    for field in described.fields:
        choice, inner = field.containing_oneof, field.message_type
        form = (field.number, field.type, field.is_repeated, choice and choice.name)
        found[f"{described.full_name}.{field.name}"] = (*form, inner and inner.full_name)
        if inner and inner.full_name not in found:
            found |= of_messages(inner)
    return found


def test_the_descriptors_are_those_of_the_proto_file(tmp_path) -> None:
    """The server reads the one, people the other; `make proto` writes the one from the other."""
    here, written = DESCRIPTORS.parent, tmp_path / "now.pb"
    command = [f"-I{here}", f"--descriptor_set_out={written}", "open_inference.proto"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *command], check=True, timeout=60)
    now, kept = (FileDescriptorSet.FromString(path.read_bytes()) for path in (written, DESCRIPTORS))
    assert now == kept


@pytest.mark.parametrize("call", CALLS)
def test_the_messages_are_the_published_ones(call: str) -> None:
    """All that a call takes and gives, held against a client's own: no field more, none less, maps and choices too."""
    place = f"{PACKAGE}.{SERVICE}"
    ours = POOL.FindServiceByName(place).methods_by_name[call]
    theirs = triton_messages.DESCRIPTOR.pool.FindServiceByName(place).methods_by_name[call]
    for side in ("input_type", "output_type"):
        assert of_messages(getattr(ours, side)) == of_messages(getattr(theirs, side))
    assert [each.name for each in POOL.FindServiceByName(place).methods] == list(CALLS)
