"""The log's lines about calls over gRPC: in the form that HTTP's have."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.front.backend import Backend
from serving.front.rpc.calls import Calls
from serving.runtimes.compiled import CompiledRuntime
from serving.settings import Model, Settings
from tests.serving.front.rpc.grpc_calls import one_row

PATH = "/inference.GRPCInferenceService/ModelInfer"


class Context:
    """What a call asks of gRPC's own, around one message."""

    def __init__(self, message: bytes) -> None:
        self.message = message

    def time_remaining(self) -> None:
        """Say that there is no deadline."""

    def invocation_metadata(self) -> tuple[()]:
        """Say that nothing came beside the message."""
        return ()

    async def read(self) -> bytes:
        """Give the message."""
        return self.message

    async def abort(self, code: Any, _text: str) -> None:
        """End the call, as gRPC does."""
        raise grpc.aio.AbortError(code)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_call_has_the_line_that_a_request_has(
    share: float, line: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused one always, an answered one by its share."""
    caplog.set_level(logging.INFO, "serving.front.logs.access_log")
    model = Model(str(line / "scorer"), name="line", version="7")
    backend = Backend([CompiledRuntime.load(model, threads=1)], Settings(models=(model,), access_log=share))
    calls = Calls(backend)
    infer = calls.guarded(calls.model_infer, PATH)

    async def ask() -> None:
        await infer(None, Context(one_row().SerializeToString()))
        for message in (one_row("nobody").SerializeToString(), b"no message"):
            with pytest.raises(grpc.aio.AbortError):
                await infer(None, Context(message))

    asyncio.run(ask())
    said = [json.loads(each.getMessage()) for each in caplog.records if each.name.endswith("access_log")]
    found = [(each["method"], each["path"], each["status"], each["version"]) for each in said]
    answered = [("POST", PATH, 200, "7")] if share else []
    assert found == [*answered, ("POST", PATH, 404, ""), ("POST", PATH, 400, "")]
    assert all(each["ms"] >= 0 for each in said)
    assert [bool(each.get("error_id")) for each in said] == [False] * len(answered) + [True, True]
