"""What a server of gRPC lets in, how long it works, and what a call meets while workers are replaced."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import grpc
import psutil
import pytest
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from serving.errors import TooSlow
from serving.front.backend import Backend
from serving.front.rpc.calls import Calls
from serving.runtimes.compiled import CompiledRuntime
from serving.settings import Model, Settings
from tests.serving.protocols.v2_clients import Both, triton_inputs, typed, without_gaps


@pytest.fixture(scope="module")
def rows(golden) -> list[dict[str, Any]]:
    """The golden rows without gaps."""
    return without_gaps(golden)


def test_grpc_says_who_may_not_ask_and_what_is_too_large(rows, start, with_intervals, tmp_path) -> None:
    """UNAUTHENTICATED, RESOURCE_EXHAUSTED."""
    keys = tmp_path / "keys"
    keys.write_text("2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683\n")  # of "key"
    options = ["--grpc-port", "0", "--rows", "10", "--body-bytes", "200000", "--api-key-file", str(keys)]
    with start("--model", f"flights={with_intervals}", *options) as served:
        closed, known = Both.of(served), (("x-api-key", "key"),)
        assert closed.refusal(typed(rows)) == "UNAUTHENTICATED"
        assert len(closed.infer(typed(rows[:2]), metadata=known).outputs) == 1
        assert closed.refusal(typed(rows * 3), metadata=known) == "RESOURCE_EXHAUSTED"
        assert closed.refusal(typed(rows * 900), metadata=known) == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(("left", "slow"), [(0.0, True), (60.0, False), (None, False)])
def test_scoring_ends_where_the_clients_deadline_has_passed(left, slow, with_intervals, rows) -> None:
    """A client hears of its deadline from its own side; that the server stops working shows in here alone."""

    class Context:
        """What the call asks of gRPC's own."""

        def time_remaining(self) -> float | None:
            return left

        async def read(self) -> bytes:
            return typed(rows * 2_000).SerializeToString()

    model = Model(str(with_intervals / "scorer"), name="flights")
    backend = Backend([CompiledRuntime.load(model, threads=1)], Settings(models=(model,)))
    call = Calls(backend).model_infer(None, Context())
    with pytest.raises(TooSlow) if slow else nullcontext():
        assert len(asyncio.run(call).outputs) == 1


def test_grpc_takes_as_many_calls_at_once_as_http(start, with_intervals, rows) -> None:
    """RESOURCE_EXHAUSTED for the second of two large calls where one may be in flight; later it is answered."""
    large = typed(rows * 20_000)
    with start("--model", f"flights={with_intervals}", "--grpc-port", "0", "--in-flight", "1") as served:
        both = Both.of(served)

        def outcome(_: int) -> str:
            try:
                return str(len(both.infer(large).outputs))
            except grpc.RpcError as error:
                return error.code().name

        with ThreadPoolExecutor(4) as callers:
            found = list(callers.map(outcome, range(4)))
        assert set(found) == {"1", "RESOURCE_EXHAUSTED"}
        assert len(both.infer(typed(rows)).outputs) == 1


def test_all_workers_share_the_port_and_a_call_that_meets_a_drain_is_answered_when_asked_again(
    start, with_intervals, rows
) -> None:
    """SIGHUP replaces both, one after the other.

    gRPC itself cancels a call that arrives while its server stops (grpc/grpc issue 41785): at most
    one for each worker here, since this client has one call at a time; never a wrong answer.
    """
    options = ["--model", f"flights={with_intervals}", "--grpc-port", "0", "--workers", "2"]
    with start(*options) as served:
        old = {each.pid for each in psutil.Process(served.process.pid).children()}
        assert len(old) == 2
        channel = triton_grpc.InferenceServerClient(Both.of(served).grpc)
        inputs, answers, cancelled = triton_inputs(triton_grpc, rows), 0, []
        served.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while {each.pid for each in psutil.Process(served.process.pid).children()} & old:
            assert time.monotonic() < until
            try:
                answer = channel.infer("flights", inputs)
            except InferenceServerException as error:
                cancelled.append(error.status())
                answer = channel.infer("flights", inputs)
            assert answer.as_numpy("prediction").shape == (len(rows),)
            answers += 1
        channel.close()
        assert answers > 10
        assert len(cancelled) <= len(old)
        assert set(cancelled) <= {"StatusCode.CANCELLED", "StatusCode.UNAVAILABLE"}


def test_grpc_without_its_packages_is_refused_at_the_start(flights) -> None:
    """The extra is named; nothing else of the server needs it."""
    code = (
        "import importlib.util as u, sys; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name.startswith('grpc') else real(name, *a); "
        "from serving.__main__ import main; "
        f"sys.exit(main(['--model', {str(flights)!r}, '--port', '0', '--grpc-port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "pip install '.[grpc]'" in done.stderr) == (2, True)
