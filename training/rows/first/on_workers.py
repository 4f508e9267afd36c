"""All rows of a table that memory does not hold, read at first by the workers of a cluster.

What each run of parts has come to is joined in the table's order, so that the whole is that of one machine, to the last
bit. What comes before its turn waits on the disk. What is wrong with a row is told by this machine, which reads all
rows then: a worker does not know the row's number.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from data.errors import DataError
from data.tables.streams import Form
from data.workers import Address, EngineError, reached
from training.console import Say
from training.models import on_workers
from training.rows.first import parted
from training.rows.first.reading import Asked, Reading, read_here

CELLS = 8_000_000
"""Of a task's rows at most, where a part has not more: what comes of them is held whole."""


def by_workers(address: Address, say: Say) -> Callable[[Form, Asked, Path], Reading]:
    """Return what reads all rows on a cluster, or here where its workers cannot; it raises DataError."""

    def read(form: Form, asked: Asked, folder: Path) -> Reading:
        parts = on_workers.parts_of(form)
        if parts:
            try:
                return _joined(address, parted.PartedRows(form.bare(), asked, parts), form, folder)
            except EngineError as error:
                say("warning", f"{error}; all rows are read here instead")
            except DataError:
                pass
        return read_here(form, asked, Path(tempfile.mkdtemp(dir=folder)))

    return read


def _joined(address: Address, rows: parted.PartedRows, form: Form, folder: Path) -> Reading:
    whole, count = Reading(form, rows.asked, folder), len(rows.parts)
    most = max(CELLS * count // (form.rows * len(form.head.names)), 1)
    with ExitStack() as stack:
        stack.callback(whole.close)
        with reached(address, packages=on_workers.OURS, needs=on_workers.BITS) as cluster:
            tasks = cluster.together(range(count), most)
            for part in _in_order(cluster.each(parted.read, rows, tasks, what="reading a part"), folder):
                whole.add(part)
        stack.pop_all()
    return whole


def _in_order(done: Iterable[tuple[Sequence[int], Reading]], folder: Path) -> Iterator[Reading]:
    """Yield what runs of parts came to in the order of the parts."""
    after: dict[int, int] = {}
    place = 0
    for places, part in done:
        after[places[0]] = places[-1] + 1
        if places[0] == place:
            place = after.pop(place)
            yield part
        else:
            _kept(folder, places[0]).write_bytes(pickle.dumps(part))
        while place in after:
            path = _kept(folder, place)
            yield pickle.loads(path.read_bytes())  # noqa: S301 - written above
            path.unlink()
            place = after.pop(place)


def _kept(folder: Path, place: int) -> Path:
    return folder / f"run-{place}"
