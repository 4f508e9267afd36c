"""Requests that come in successive turns of the event loop share one run of the graph, and none waits long."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from serving.runtimes.joining import IDLE_TURNS, MOST_JOINED, Together


async def _one_after_the_other(count: int, *, turns: int = 1) -> list[int]:
    """Send a request every so many turns of the loop; return how many rows each run of the graph had."""
    runs: list[int] = []

    def score(matrix: np.ndarray) -> np.ndarray:
        runs.append(len(matrix))
        return matrix[:, 0] * 2

    together, loop = Together(score), asyncio.get_running_loop()
    promised = []
    for each in range(count):
        promised.append(together.predict(np.array([[float(each)]]), loop))
        for _ in range(turns):
            await asyncio.sleep(0)
    found = [float(values[0]) for values in await asyncio.gather(*promised)]
    assert found == [2.0 * each for each in range(count)]
    return runs


@pytest.mark.parametrize("turns", [1, 4])
def test_requests_of_successive_turns_share_a_run(turns) -> None:
    """Each gets its own row's answer back; grpcio takes four turns from one call to the next."""
    assert asyncio.run(_one_after_the_other(5, turns=turns)) == [5]


def test_nobody_waits_for_an_endless_row_of_others() -> None:
    """A request in every turn would put the first one off for ever."""
    assert max(asyncio.run(_one_after_the_other(4 * MOST_JOINED))) <= MOST_JOINED + 1


def test_a_request_alone_is_scored_after_a_few_turns_without_another() -> None:
    """Nobody waits where there is no queue: a turn takes 2 us, and the answer is there."""

    async def alone() -> bool:
        promised = Together(lambda matrix: matrix[:, 0]).predict(np.ones((1, 1)), asyncio.get_running_loop())
        for _ in range(IDLE_TURNS + 1):
            await asyncio.sleep(0)
        return promised.done()

    assert asyncio.run(alone())


def test_many_rows_are_scored_without_waiting_for_others() -> None:
    """A request of more rows than join gains nothing by company."""

    async def many() -> bool:
        rows = np.ones((MOST_JOINED + 1, 1))
        return Together(lambda matrix: matrix[:, 0]).predict(rows, asyncio.get_running_loop()).done()

    assert asyncio.run(many())
