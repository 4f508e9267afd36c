"""All rows of a table that memory does not hold, read at first by the workers of a cluster.

What each run of parts has come to is joined in the table's order, so that the whole is that of one machine, to the last
bit. What comes before its turn waits on the disk. What is wrong with a row is told by this machine, which reads all
rows then: a worker does not know the row's number.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from data.errors import DataError
from data.tables.streams import Form
from data.workers import Address, EngineError, in_order, reached
from training.console import Say
from training.rows.again import on_workers
from training.rows.first import runs
from training.rows.first.reading import FirstAsked, FirstReading, read_here


def by_workers(address: Address, say: Say) -> Callable[[Form, FirstAsked, Path], FirstReading]:
    """Return what reads all rows on a cluster, or here where its workers cannot; it raises DataError."""

    def read(form: Form, asked: FirstAsked, folder: Path) -> FirstReading:
        parts = on_workers.parts_of(form)
        if parts:
            try:
                return _joined(address, runs.PartedRows(form.bare(), asked, parts), form, folder)
            except EngineError as error:
                say("warning", f"{error}; all rows are read here instead")
            except DataError:
                pass
        return read_here(form, asked, Path(tempfile.mkdtemp(dir=folder)))

    return read


def _joined(address: Address, rows: runs.PartedRows, form: Form, folder: Path) -> FirstReading:
    whole, began = FirstReading(form, rows.asked, folder), time.perf_counter()
    with ExitStack() as stack:
        stack.callback(whole.close)
        with reached(address, packages=on_workers.OURS, needs=on_workers.BITS) as cluster:
            tasks = on_workers.tasks_for(form, len(rows.parts), cluster)
            for part in in_order(cluster.each(runs.read, rows, tasks, what="reading a part"), folder):
                whole.add(part)
        stack.pop_all()
    whole.seconds = time.perf_counter() - began
    return whole
