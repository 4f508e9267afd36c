"""What tasks came to, in their order, whatever the order in which they are done."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")


def in_order(done: Iterable[tuple[Sequence[int], Result]], folder: Path) -> Iterator[Result]:
    """Yield what runs of places came to in the order of the places; what comes before its turn waits in the folder."""
    after: dict[int, int] = {}
    place = 0
    for places, result in done:
        after[places[0]] = places[-1] + 1
        if places[0] == place:
            place = after.pop(place)
            yield result
        else:
            _kept(folder, places[0]).write_bytes(pickle.dumps(result))
        while place in after:
            path = _kept(folder, place)
            yield pickle.loads(path.read_bytes())  # noqa: S301 - written above
            path.unlink()
            place = after.pop(place)


def _kept(folder: Path, place: int) -> Path:
    return folder / f"run-{place}"
