"""What the rows of one column say of it, a batch at a time: enough for its description, and for leaving it out.

The numbers of the training rows are kept in a file, since their quantiles are those of all of them; texts by how many
different ones there are. What was seen of one part of the rows joins to what was seen of those above.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.cells import Reading
from data.schema import Column, Kind
from data.tables.moments import seconds
from data.tables.table import described

MOST_TEXTS = 500_000
"""Different texts of a column that are remembered; one with more of them names rows."""


class ColumnFacts:
    """One column of a table, and what has been seen of it.

    Attributes
    ----------
    kind : Kind or None
        Of the whole column.
    infinite : bool
        Whether a number is.
    """

    def __init__(self, name: str, kind: Kind | None, reading: Reading | None, path: Path | None) -> None:
        """Begin with no rows; without a path, memory holds the numbers."""
        self.name, self.kind = name, kind
        self.infinite = False
        self._reading, self._path = reading, path
        self._present, self._learned_missing = False, False
        self._texts: dict[str, bool] = {}
        self._buffer = path.open("wb") if path else io.BytesIO()

    def look(self, values: pd.Series, learned: NDArray[np.bool_]) -> None:
        """Look at rows that have a target; which of them are learned from."""
        if self.kind is None:
            return
        missing = values.isna().to_numpy()
        self._present = self._present or not missing.all()
        self._learned_missing = self._learned_missing or bool(missing[learned].any())
        if self.kind == "category":
            self._look_at_texts(values, learned)
            return
        numbers = (
            seconds(values[learned])
            if self.kind == "datetime"
            else values.to_numpy(dtype=np.float64)[learned]
        )
        self._buffer.write(numbers[~np.isnan(numbers)].tobytes())

    def add(self, part: ColumnFacts) -> None:
        """Join what was seen of the next rows, whose numbers memory holds."""
        assert isinstance(part._buffer, io.BytesIO)
        self._present = self._present or part._present
        self._learned_missing = self._learned_missing or part._learned_missing
        self._join(part._texts)
        self._buffer.write(part._buffer.getbuffer())

    def _look_at_texts(self, values: pd.Series, learned: NDArray[np.bool_]) -> None:
        if len(self._texts) > MOST_TEXTS:
            return
        codes, texts = pd.factorize(values)
        in_training = np.zeros(len(texts) + 1, dtype=np.bool_)
        in_training[codes[learned]] = True
        self._join(dict(zip(texts, in_training[:-1].tolist(), strict=True)))

    def _join(self, texts: dict[str, bool]) -> None:
        if len(self._texts) <= MOST_TEXTS:
            for text, is_learned in texts.items():
                self._texts[text] = self._texts.get(text, False) or is_learned

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return not self._present

    @property
    def distinct(self) -> int:
        """How many different texts there are, at least."""
        return len(self._texts)

    def learned(self) -> NDArray[Any]:
        """Return what stands in the training rows: different texts, or all numbers that are not missing."""
        if self.kind == "category":
            return np.array([text for text, is_learned in self._texts.items() if is_learned], dtype=object)
        assert self._path is not None
        self._buffer.flush()
        return np.fromfile(self._path, dtype=np.float64)

    def described(self, unit: str | None) -> Column | None:
        """Return the column as the training rows describe it; None where all of them lack it."""
        present = self.learned()
        if self.kind is None or not len(present):
            return None
        return described(
            self.name, self.kind, present, missing=self._learned_missing, unit=unit, reading=self._reading
        )

    def close(self) -> None:
        """Let go of the file."""
        self._buffer.close()
        if self._path:
            self._path.unlink(missing_ok=True)
