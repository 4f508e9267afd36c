"""The messages of the Open Inference Protocol's gRPC service, made at import from their descriptor set.

`make proto` writes that from `open_inference.proto`, whose field numbers a test holds against a client's own. Made
here rather than generated, the messages fit whatever protobuf is installed, and no compiler is needed to serve.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

DESCRIPTORS = Path(__file__).with_name("open_inference.pb")

(_FILE,) = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
(_SERVICE,) = _FILE.service
PACKAGE, SERVICE = _FILE.package, _SERVICE.name
CALLS = tuple(method.name for method in _SERVICE.method)

POOL = descriptor_pool.DescriptorPool()
"""Of its own, so that a client's file of the same messages may be loaded beside it."""

POOL.Add(_FILE)


def message(name: str) -> Any:
    """Return a message's class."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
