"""The front's side of a model's process: what waits, what is let go, what a retired version still owes."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from typing import Any

import pytest

from serving.errors import Busy, RequestError
from serving.runtimes.joining import WaitingRequest
from serving.runtimes.model_processes.pyfunc import PyfuncRuntime
from serving.settings import Limits, Model
from tests.serving.runtimes.odd_models import saved_odd

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> str:
    """The model with a will of its own."""
    return saved_odd(tmp_path_factory.mktemp("odd") / "odd")


def test_a_retired_version_finishes_what_it_was_asked(odd) -> None:
    """Two swaps later its processes end, after what waits there and not before."""

    async def scenario() -> None:
        served = PyfuncRuntime(Model(odd, runtime="pyfunc"), Limits(), processes=1, joins=True)
        bodies = [json.dumps({"dataframe_records": [{"x": x}]}).encode() for x in (-4.0, 1.0, 2.0)]
        asked = [asyncio.create_task(served.ask(body, "application/json")) for body in bodies]
        await asyncio.sleep(0.1)
        served.close()
        replies = await asyncio.gather(*asked)
        assert [json.loads(reply.body)["predictions"] for reply in replies] == [[-8.0], [2.0], [4.0]]
        with pytest.raises(Busy):
            await served.ask(bodies[1], "application/json")
        await asyncio.wait_for(asyncio.gather(*served._tasks), 10)
        assert served._first[0].process.returncode is not None

    asyncio.run(scenario())


@pytest.mark.parametrize("deadly", [-3.0, -2.0])
def test_what_a_dead_or_hanging_process_had_in_work_is_let_go_at_once(odd, deadly) -> None:
    """Bodies in a cycle of references wait for the collector, which the front lets come by seldom."""

    async def outcome(asked: Any) -> str:
        """As the front: the exception ends in the task that asked."""
        try:
            return await asked
        except RequestError as error:
            return type(error).__name__

    async def scenario() -> int:
        served = PyfuncRuntime(
            Model(odd, runtime="pyfunc"), Limits(work_seconds=1.0), processes=1, joins=True
        )
        bodies = [json.dumps({"dataframe_records": [{"x": x}]}).encode() for x in (1.0, deadly, 2.0)]
        found = await asyncio.gather(*(outcome(served.ask(body, "application/json")) for body in bodies))
        assert found == [{-3.0: "Busy", -2.0: "TooSlow"}[deadly]] * 3
        await asyncio.sleep(0.5)
        kept = sum(isinstance(each, WaitingRequest) for each in gc.get_objects())
        served.close()
        await asyncio.wait_for(asyncio.gather(*served._tasks), 30)
        return kept

    gc.collect()
    gc.disable()
    logging.disable()  # pytest keeps what is logged, tracebacks with it
    try:
        assert asyncio.run(scenario()) == 0
    finally:
        gc.enable()
        logging.disable(logging.NOTSET)
