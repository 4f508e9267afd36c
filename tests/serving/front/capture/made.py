"""Versions, scored rows and a writer that holds what it is given: what a capture is made of here."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np

from data.schema import Column
from serving.front.capture import kept_requests
from serving.front.capture.kept_columns import KeptColumns
from serving.front.capture.kept_requests import Capture
from serving.runtimes import Description, Predicted
from serving.settings import CaptureRules

COLUMNS = (
    Column("x", "number"),
    Column("city", "category", categories=("Berlin", "Lima", "Oslo")),
    Column("b", "number"),
)
SECRET = b"0123456789abcdef"
NOTHING_SAID = {}
ROOM = kept_requests.ROOM_BYTES


@functools.cache
def version(columns=COLUMNS, *, digest="ab" * 32, label="3"):
    """Return a loaded version, as far as captures look at one."""
    described = Description("m", label, digest, "", {}, b"", columns)
    return SimpleNamespace(model=SimpleNamespace(name="m", runtime="scorer"), description=described)


def predicted(rows=1, *, city=0.0, texts=(), columns=3, scale=None):
    """Return rows that were scored: the prediction is ten times x."""
    x = np.arange(rows, dtype=np.float64)
    matrix = np.column_stack([x, np.full(rows, city), *[np.zeros(rows)] * (columns - 2)])
    return Predicted(matrix, 10 * x, scale, texts, "")


class Held:
    """A writer that holds what it is given, and counts."""

    def __init__(self):
        self.stopped, self.released, self.pending, self.counts = "", 0, [], {}

    def put(self, pending):
        """Take a frame."""
        self.pending.append(pending)

    def let_go(self):
        """Write what is held."""
        self.released += sum(each.size for each in self.pending)
        self.pending = []

    def dropped(self, reason, rows):
        """Count."""
        self.counts[reason] = self.counts.get(reason, 0) + rows

    def close(self):
        """End."""


def capture_in(held, *, workers=1, **rules):
    """Return what keeps rows, and a list of what is due."""
    due = []
    rules = CaptureRules(folder="unused", **rules)
    return Capture(rules, held, held, workers=workers, later=lambda _, work: due.append(work)), due


def columns_of(runtime=None, **rules):
    """Return what is kept of a version's columns."""
    return KeptColumns.of(runtime or version(), CaptureRules(folder="unused", **rules), SECRET)
