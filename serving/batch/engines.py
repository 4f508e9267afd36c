"""Who scores which part of the work: this process, processes beside it, workers of a cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process

from data.workers import Address, at_work, reached
from serving.batch.carried import Carried, processors
from serving.batch.parted import Done, Engine, Work
from serving.errors import BadOutput, WorkersLost

ATTEMPTS = 3
"""How often processes are started anew where one was killed, for want of memory as a rule."""

OURS = ("data", "serving")
"""Packages that go along to workers."""
BITS = ("numpy", "pyarrow", "onnxruntime")
"""Packages that have a say in a prediction's bits."""

_work: tuple[Work, Carried] | None = None


def alone(carried: Carried) -> Engine:
    """Return what scores part by part in this process, by all processors."""

    def scored(work: Work, lacking: Sequence[int]) -> Iterator[tuple[int, Done]]:
        scorer = carried.scorer(threads=os.cpu_count() or 1)
        return ((index, work.score(index, scorer)) for index in lacking)

    return scored


def beside(carried: Carried, *, processes: int | None = None) -> Engine:
    """Return what scores in as many processes as there are processors; one that is killed is replaced."""

    def scored(work: Work, lacking: Sequence[int]) -> Iterator[tuple[int, Done]]:
        count = min(processes or processors(), len(lacking))
        if count < 2:
            yield from alone(carried)(work, lacking)
            return
        left = set(lacking)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                for index, done in _in_pool(work, sorted(left), carried, count):
                    left.discard(index)
                    yield index, done
            except BrokenProcessPool as error:
                if attempt == ATTEMPTS:
                    raise WorkersLost(count=ATTEMPTS, left=len(left)) from error
            else:
                return

    return scored


def _in_pool(work: Work, lacking: Sequence[int], carried: Carried, count: int) -> Iterator[tuple[int, Done]]:
    pool = ProcessPoolExecutor(count, get_context("spawn"), initializer=_begin, initargs=(work, carried))
    try:
        futures = {pool.submit(_score, index): index for index in lacking}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(work: Work, carried: Carried) -> None:
    """Prepare a process: it ends with the one that started it, which says what Ctrl-C means."""
    global _work  # noqa: PLW0603 - what a process of a pool is for is said at its start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _work = (work, carried)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _score(index: int) -> Done:
    assert _work is not None
    work, carried = _work
    return work.score(index, carried.scorer())


def on_workers(carried: Carried, address: Address) -> Engine:
    """Return what scores on the workers of a cluster; they need numpy, pyarrow and onnxruntime."""

    def scored(work: Work, lacking: Sequence[int]) -> Iterator[tuple[int, Done]]:
        if not lacking:
            return
        with reached(address, packages=OURS, needs=BITS) as workers:
            tasks = workers.together(lacking)
            for _, result in workers.each(_score_some, (work, carried), tasks, what="scoring a part"):
                for index, done in result:
                    _look(work, index, done, where=workers.where)
                    yield index, done

    return scored


def _look(work: Work, index: int, done: Done, *, where: str) -> None:
    """Raise BadOutput where a worker has written a part that is not here."""
    if not done.count and work.folder.size(work.names[index]) is None:
        work.kept.check(())
        raise BadOutput(
            reason=f"{work.names[index]}, which a worker of {where} has written, is not in {work.folder} here",
            repair="name a folder on a disk that all share, or in a bucket",
        )


def _score_some(shared: tuple[Work, Carried], indexes: Sequence[int]) -> list[tuple[int, Done]]:
    """Score parts in a process beside a worker; those that it had written before it was killed are there."""
    work, carried = shared
    result = []
    for index in indexes:
        at_work()
        known = work.done(index) if work.parts[index].identity else None
        result.append((index, known or work.score(index, carried.scorer())))
    return result
