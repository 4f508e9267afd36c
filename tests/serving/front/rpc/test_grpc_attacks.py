"""gRPC without a key, and with messages made to hurt: nothing is read too soon, nothing grows."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from serving.errors import Malformed, RequestError, SlowBody, TooLarge
from serving.front.rpc.exchange import take_message
from serving.protocols.v2_messages.counting import check_fields
from serving.protocols.v2_messages.messages import message
from serving.running import free_port
from serving.settings import Limits
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import KEY, KNOWN, SERVICE, Caller, compressed_at_once, one_row

EMPTY_TENSORS = b"\x0a\x04line" + b"\x2a\x00" * 7_500_000
A_NAME_OF_15_MB = b"\x0a\x80\x80\x80\x07" + b"a" * (7 * 2**21)
HEALTH = "/grpc.health.v1.Health/Check"


@dataclass
class Server:
    """A server of the line model with one worker."""

    port: int
    worker: psutil.Process

    @property
    def megabytes(self) -> float:
        """What the worker has in memory now."""
        return self.worker.memory_info().rss / 2**20

    @property
    def peak(self) -> float:
        """The most that it had since the last `forget`."""
        status = Path(f"/proc/{self.worker.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10

    def forget(self) -> None:
        """Begin to measure the peak anew."""
        Path(f"/proc/{self.worker.pid}/clear_refs").write_text("5")


def server(start: Any, model: Path, *options: str) -> Iterator[Server]:
    """Start one."""
    port = free_port()
    with start("--model", f"line={model}", "--grpc-port", str(port), *options) as served:
        (worker,) = psutil.Process(served.process.pid).children()
        yield Server(port, worker)


@pytest.fixture(scope="module")
def keyed(start, line, tmp_path_factory) -> Iterator[Server]:
    """One with a key."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(hashlib.sha256(KEY.encode()).hexdigest() + "\n")
    yield from server(start, line, "--api-key-file", str(keys))


@pytest.fixture(scope="module")
def keyless(start, line) -> Iterator[Server]:
    """One without keys, where clients may compress."""
    yield from server(start, line, "--grpc-compression")


def test_a_call_without_a_key_costs_nothing_however_large(keyed) -> None:
    """Its message is never read: neither parsed, nor taken, nor expanded."""
    with Caller(keyed.port) as caller:
        assert caller.infer(one_row(), metadata=KNOWN)[0] == "OK"
        before = keyed.megabytes
        keyed.forget()
        for body in (EMPTY_TENSORS, EMPTY_TENSORS * 4):
            code, text = caller.infer(body)
            assert (code, "send a key" in text) == ("UNAUTHENTICATED", True)
        for path in ("ModelInfer", "ModelReady", HEALTH):
            body = EMPTY_TENSORS if path == "ModelInfer" else A_NAME_OF_15_MB
            assert compressed_at_once(keyed.port, path, body, 50) == 50
        assert keyed.peak - before < 40
        assert caller.infer(one_row(), metadata=KNOWN)[0] == "OK"
    recorded(
        "security",
        "gRPC without a key: 60 MB of empty tensors; 150 messages at once of 15 MB in 15 kB of gzip",
        "asks for the key before it takes the message; refuses compression",
        "UNAUTHENTICATED or UNIMPLEMENTED; less than 40 MB of memory",
    )


def test_one_key_does_not_make_a_small_message_large(keyed) -> None:
    """Fields are counted on the bytes, before protobuf makes objects of them, and the last message is let go."""
    with Caller(keyed.port) as caller:
        for _ in range(5):  # gRPC keeps up to three such messages for later: what more of them add is ours
            caller.infer(EMPTY_TENSORS, metadata=KNOWN)
        before = keyed.megabytes
        keyed.forget()
        for _ in range(5):
            code, text = caller.infer(EMPTY_TENSORS, metadata=KNOWN)
            assert (code, "fields" in text) == ("RESOURCE_EXHAUSTED", True)
        assert caller.infer(EMPTY_TENSORS + EMPTY_TENSORS, metadata=KNOWN)[0] == "RESOURCE_EXHAUSTED"
        assert keyed.peak - before < 90  # of messages of 15 MB, each of which was 640
        until = time.monotonic() + 20
        while keyed.megabytes - before > 40 and time.monotonic() < until:
            time.sleep(0.1)
        assert keyed.megabytes - before < 40
        assert caller.infer(one_row(), metadata=KNOWN)[0] == "OK"
    recorded(
        "security",
        "gRPC with a key: 15 MB of empty tensors, five times",
        "counts fields before it parses; --grpc-message-bytes (16 MiB)",
        "RESOURCE_EXHAUSTED; less than 90 MB of memory, which are given back",
    )


def test_large_messages_share_the_budget_of_memory(start, line) -> None:
    """Where there is no room for one more, it is refused before it is parsed; small ones need none."""
    request = one_row()
    request.inputs[0].shape[0] = 100_000
    request.inputs[0].contents.fp64_contents.extend([3.0] * 99_999)
    for each in server(start, line, "--memory-bytes", "1000000"):
        with Caller(each.port) as caller:
            assert caller.infer(request)[0] == "RESOURCE_EXHAUSTED"
            assert caller.infer(one_row())[0] == "OK"


def test_what_needs_no_key_is_small(keyed) -> None:
    """Health and readiness are asked with a name; a name of 15 MB is none."""
    with Caller(keyed.port) as caller:
        for path in ("ModelReady", HEALTH):
            code, text = caller.call(path, A_NAME_OF_15_MB)
            assert (code, "names" in text) == ("RESOURCE_EXHAUSTED", True)
        for path in ("ServerLive", "ServerReady", HEALTH):
            assert caller.call(path, b"")[0] == "OK"
        assert caller.call("ModelReady", b"\x0a\x04line")[0] == "OK"
        assert caller.call(HEALTH, b"\x0a\x05other")[0] == "NOT_FOUND"


def test_what_describes_the_server_needs_a_key(keyed) -> None:
    """Metadata and reflection; a model that is not there is not answered with those that are."""
    with Caller(keyed.port) as caller:
        for path in ("ServerMetadata", "ModelMetadata"):
            assert caller.call(path, b"\x0a\x04line")[0] == "UNAUTHENTICATED"
            assert (
                caller.call(path, b"\x0a\x04line", metadata=(("authorization", f"bearer {KEY}"),))[0] == "OK"
            )
        assert caller.call("ModelReady", b"\x0a\x05other") == ("NOT_FOUND", "no such model")
        code, text = caller.call("ModelReady", b"\x0a\x05other", metadata=KNOWN)
        assert (code, "line" in text) == ("NOT_FOUND", True)
        with pytest.raises(grpc.RpcError) as refused:
            ProtoReflectionDescriptorDatabase(caller.channel).get_services()
        assert refused.value.code().name == "UNAUTHENTICATED"
        reflect = caller.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        answers = list(reflect(iter([b"\x3a\x00"]), metadata=KNOWN, timeout=20))  # list_services
        assert b"inference.GRPCInferenceService" in answers[0]
        assert caller.call("NoSuchCall", b"")[0] == "UNIMPLEMENTED"
    recorded(
        "security",
        "gRPC without a key: reflection, metadata of the server and of a model, readiness of another model",
        "UNAUTHENTICATED; NOT_FOUND without names",
        "health, and whether a model of a name that it knows is ready",
    )


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x2a\x05ab",
        b"\x0a\x02\xff\xff",
        b"\x00" * 9,
        b"\x2b",
        b"\xff" * 200_000,
        b"\x2a\xff" * 99_999,
    ],
)
@pytest.mark.parametrize("path", ["ModelInfer", "ModelMetadata", "ModelReady", HEALTH])
def test_bytes_that_are_no_message_are_the_clients_fault(path, body, keyless, capfd) -> None:
    """INVALID_ARGUMENT with a plain text, small or large, or too large for a name; never UNKNOWN."""
    with Caller(keyless.port) as caller:
        code, text = caller.call(path, body)
    assert code == "INVALID_ARGUMENT" or (
        len(body) > 2**16 and path != "ModelInfer" and code == "RESOURCE_EXHAUSTED"
    )
    assert "Error" not in text and "class" not in text
    assert "Traceback" not in capfd.readouterr().err


def test_a_call_without_a_message_is_answered(keyless) -> None:
    """A client that streams may end without one."""
    with Caller(keyless.port) as caller:
        call = caller.channel.stream_unary(SERVICE + "ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:
            call(iter(()), timeout=20)
    assert refused.value.code().name == "INVALID_ARGUMENT"


def test_compression_is_expanded_where_it_is_allowed(keyless, keyed) -> None:
    """No further than a message may be long; elsewhere it is refused by name."""
    gzip = grpc.Compression.Gzip
    with Caller(keyless.port) as caller, Caller(keyed.port) as other:
        code, answer = caller.infer(one_row(), compression=gzip)
        assert (code, len(answer.outputs)) == ("OK", 1)
        before = keyless.megabytes
        keyless.forget()
        assert (
            caller.infer(b"\x0a\x04line" + b"\x2a\x00" * 2**26, compression=gzip)[0] == "RESOURCE_EXHAUSTED"
        )
        assert keyless.peak - before < 60
        code, text = other.infer(one_row(), compression=gzip, metadata=KNOWN)
        assert (code, "gzip" in text) == ("UNIMPLEMENTED", True)


def test_a_large_message_is_scored_as_a_small_one(keyless) -> None:
    """Counted, and parsed in a thread: the numbers are the same."""
    request = one_row()
    request.inputs[0].shape[0] = 100_000
    request.inputs[0].contents.fp64_contents.extend([3.0] * 99_999)
    with Caller(keyless.port) as caller:
        (alone,) = caller.infer(one_row())[1].outputs[0].contents.fp64_contents
        many = caller.infer(request)[1].outputs[0].contents.fp64_contents
    assert len(many) == 100_000
    assert set(many) == {alone}


def test_open_calls_that_never_send_their_message_leave_room_for_others(keyless) -> None:
    """The 65th is refused at once, and scoring goes on; a watch of health ends when its client goes."""
    with Caller(keyless.port) as caller:
        watch = caller.channel.unary_stream("/grpc.health.v1.Health/Watch")
        watches = [watch(b"") for _ in range(64)]
        for each in watches:
            assert next(each) == b"\x08\x01"
        assert caller.call(HEALTH, b"")[0] == "RESOURCE_EXHAUSTED"
        assert caller.call("ServerReady", b"")[0] == "OK"
        assert caller.infer(one_row())[0] == "OK"
        for each in watches:
            each.cancel()
        until = time.monotonic() + 20
        while caller.call(HEALTH, b"")[0] != "OK":
            assert time.monotonic() < until
            time.sleep(0.05)


def a_request() -> Any:
    """Return one that has everything."""
    request = one_row(coverage=0.9)
    request.inputs[0].parameters["content_type"].string_param = "np"
    text = request.inputs.add(name="city", datatype="BYTES", shape=[3])
    text.contents.bytes_contents.extend([b"a", b"b", b"c"])
    request.outputs.add(name="prediction").parameters["binary_data"].bool_param = True
    request.raw_input_contents.append(bytes(300))
    return request


def test_a_message_is_counted_as_protobuf_reads_it() -> None:
    """What it parses is passed; what is cut anywhere is refused, or parsed by it too."""
    whole = a_request().SerializeToString()
    check_fields(whole, Limits())
    for end in range(len(whole)):
        try:
            check_fields(whole[:end], Limits())
        except Malformed:
            with pytest.raises(DecodeError):
                message("ModelInferRequest").FromString(whole[:end])


@pytest.mark.parametrize(
    "part",
    [
        b"\x2a\x00",  # a tensor
        b"\x2a\x02\x22\x00",  # a parameter of one
        b"\x2a\x02\x18\x01",  # a size in its shape
        b"\x22\x00",  # a parameter
        b"\x22\x02\x12\x00",  # without a name
        b"\x32\x00",  # an output
        b"\x32\x02\x12\x00",  # a parameter of one
        b"\x3a\x00",  # raw contents
        b"\x78\x01",  # an unknown field
    ],
)
def test_fields_are_counted_wherever_they_stand(part: bytes) -> None:
    """As many as ten columns may need are passed; one kind alone is not, at the top or within one tensor."""
    limits = Limits(columns=10)
    check_fields(part * 100, limits)
    with pytest.raises(TooLarge, match="fields"):
        check_fields(part * 300, limits)


def test_rows_of_text_are_counted() -> None:
    """Two bytes are an empty text, and would be sixteen."""
    request = one_row()
    request.inputs[0].contents.bytes_contents.extend([b""] * 11)
    check_fields(request.SerializeToString(), Limits(rows=11))
    with pytest.raises(TooLarge, match="more than 10 rows"):
        check_fields(request.SerializeToString(), Limits(rows=10))


def test_random_bytes_raise_nothing_but_refusals() -> None:
    """Half of what protobuf's own writer makes, half noise."""
    import random

    chance, whole, refused = random.Random(7), a_request().SerializeToString(), 0
    for _ in range(3000):
        body = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            check_fields(bytes(body), Limits(columns=3))
        except RequestError:
            refused += 1
    assert 300 < refused < 3000, "the noise was no test: all of it was taken, or nothing"


class Silent:
    """A call whose message never comes."""

    async def read(self) -> bytes:
        await asyncio.Event().wait()
        return b""


def test_a_message_that_does_not_come_is_waited_for_no_longer_than_may_be() -> None:
    """And a client that goes is not taken for a slow one; the task can go on either way."""

    async def wait(*, cancelled: bool) -> None:
        task = asyncio.create_task(
            take_message(Silent(), 60.0 if cancelled else 0.01, asyncio.get_running_loop())
        )
        await asyncio.sleep(0)
        if cancelled:
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else SlowBody):
            await task
        assert task.cancelling() == int(cancelled)

    asyncio.run(wait(cancelled=False))
    asyncio.run(wait(cancelled=True))
