"""What a column of a text file may be, by its parts: whether all of its cells have to be looked at together."""

from __future__ import annotations

import pyarrow as pa

from data.cells.discovery.column_readings import MANY, counted, has_points, is_grouped
from data.cells.discovery.inference import infer
from data.cells.hints import Hint

HEAD_CELLS = 2_000
"""Of a column of plain numbers, to know its decimal mark by."""


class PartedTexts:
    """What the parts of a column have said so far.

    Attributes
    ----------
    head : pyarrow.ChunkedArray or None
        Of plain numbers: the first cells, and one that shows that points part no thousands, where there is one.
    """

    def __init__(self, hint: Hint) -> None:
        self.head: pa.ChunkedArray | None = None
        self._hint = hint
        self._has_points, self._is_grouped = False, True
        self._counts: dict[str, int] | None = {}

    def look(self, part: pa.ChunkedArray, *, are_numbers: bool) -> None:
        """Look at the next cells, which are plain numbers as those above, or are not."""
        if are_numbers:
            self._look_for_marks(part)
        if not (pa.types.is_string(part.type) or pa.types.is_large_string(part.type)):
            self._counts = None
        if self._counts is not None:
            for text, count in counted(part, ()).items():
                self._counts[text] = self._counts.get(text, 0) + count
            if len(self._counts) > MANY:
                self._counts = None

    def _look_for_marks(self, part: pa.ChunkedArray) -> None:
        self._has_points = self._has_points or has_points(part)
        if self.head is None:
            self.head = part[:0]
        if len(self.head) < HEAD_CELLS:
            self.head = pa.chunked_array([*self.head.chunks, *part[:HEAD_CELLS].chunks])
        if self._is_grouped and not is_grouped(part):
            self._is_grouped = False
            ungrouped = next(
                cell for cell in part if not is_grouped(pa.chunked_array([[cell.as_py()]], part.type))
            )
            self.head = pa.chunked_array([*self.head.chunks, pa.array([ungrouped.as_py()], part.type)])

    def may_have_a_reading(self, kind: str) -> bool:
        """Return whether all cells together may say another reading than the plain one of a kind.

        Words of which there are few, and which all of them together leave words, need no second look.
        """
        if kind == "category":
            return self._counts is None or bool(infer(self._counts, self._hint).readings)
        return kind == "number" and self._has_points and (self._hint.decimal == "," or self._is_grouped)
