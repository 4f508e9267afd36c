"""Rows whose worker is killed while they are read: sent to workers with our code."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.rows.again.on_workers import PartedAgain
from training.rows.first.runs import PartedRows


@dataclass(frozen=True)
class DeadlyRows(PartedAgain):
    """Rows that are read again; whoever reads a part takes a file from the folder, and kills its worker then."""

    folder: str = ""

    def of(self, place: int) -> Iterator[Any]:
        """Yield the rows of a part."""
        yield from super().of(place)
        _kill(self.folder)


@dataclass(frozen=True)
class DeadlyParts(PartedRows):
    """Rows that are read at first, as deadly."""

    folder: str = ""

    def of(self, place: int) -> Iterator[Any]:
        """Yield the rows of a part."""
        yield from super().of(place)
        _kill(self.folder)


def _kill(folder: str) -> None:
    for path in Path(folder).glob("*"):
        with suppress(FileNotFoundError):
            path.unlink()
            os.kill(os.getppid(), signal.SIGKILL)
