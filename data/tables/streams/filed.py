"""A table in files, of which one column is held at a time: for checks that look at one after the other.

Numbers are read from their file where they are looked at, so that they take no memory of their own; texts are held as
pointers to those that differ. The cells are those that a table in memory has.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.own_files import own_folder
from data.schema import Kind
from data.tables import Table
from data.tables.streams.column_facts import MOST_TEXTS
from data.tables.streams.form import Form

DATES = pd.StringDtype("pyarrow", na_value=np.nan)


@contextmanager
def opened(form: Form) -> Iterator[Table]:
    """Read all rows into files, and give the table of them, as long as the files are there; raises DataError.

    Its frame is no frame of pandas', but has what is asked of one by whoever looks at a column after the other and
    takes some of the rows. What has to see rows whole takes `held` ones.
    """
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        columns = _Columns(Path(folder), form.head.kinds)
        for part in form.tables():
            columns.add(part)
        columns.finish()
        yield replace(form.head, frame=cast("pd.DataFrame", _Frame(columns)))


def held(table: Table) -> Table:
    """Return a table in files as one in memory."""
    columns = {name: table.frame[name] for name in table.names}
    return replace(table, frame=pd.DataFrame({name: _in_memory(part) for name, part in columns.items()}))


def cut(table: Table) -> dict[str, int]:
    """Return the columns of more texts than are told apart, and how many of their first rows are there."""
    return table.frame.columns_cut if isinstance(table.frame, _Frame) else {}


def _in_memory(values: pd.Series) -> pd.Series:
    if values.dtype == DATES:
        return values.astype(object).where(values.notna(), None)
    return values.copy()


class _Columns:
    """The files: of numbers as they are, of texts the number of each, of dates their texts."""

    def __init__(self, folder: Path, kinds: Mapping[str, Kind | None]) -> None:
        self.kinds, self.rows = kinds, 0
        self.cut: dict[str, int] = {}
        self._paths = {name: folder / f"column-{place}" for place, name in enumerate(kinds)}
        self._numbers: dict[str, dict[str, int]] = {
            name: {} for name, kind in kinds.items() if kind == "category"
        }
        self._texts: dict[str, NDArray[np.object_]] = {}
        self._dated = pa.schema(
            [(name, pa.large_string()) for name, kind in kinds.items() if kind == "datetime"]
        )
        self._dates = folder / "dates"
        self._writer = pa.ipc.new_file(str(self._dates), self._dated)

    def add(self, part: Table) -> None:
        """Append rows; raises OSError."""
        self.rows += len(part)
        for name, kind in self.kinds.items():
            if kind in ("number", "boolean"):
                self._append(name, part.numbers(name))
            elif kind == "category" and name not in self.cut:
                self._append(name, self._numbered(name, part.frame[name]))
        if len(self._dated):
            dates = [pa.array(part.frame[name], pa.large_string()) for name in self._dated.names]
            self._writer.write_batch(pa.record_batch(dates, schema=self._dated))

    def finish(self) -> None:
        """End the files: no more rows come."""
        self._writer.close()
        for name, numbers in self._numbers.items():
            self._texts[name] = np.array([*numbers, None], dtype=object)
        self._numbers = {}

    def column(self, name: str) -> pd.Series:
        """Return the cells of a column."""
        kind, path = self.kinds[name], self._paths[name]
        if kind is None:
            return pd.Series(np.full(self.rows, None, dtype=object), dtype=object)
        if kind == "datetime":
            file = pa.ipc.open_file(pa.memory_map(str(self._dates)))
            parts = [file.get_batch(place).column(name) for place in range(file.num_record_batches)]
            return pd.Series(pd.array(pa.chunked_array(parts), dtype=DATES), copy=False)
        if kind == "category":
            texts = self._texts[name]
            return pd.Series(texts[np.memmap(path, np.int32, mode="r")], dtype=object, copy=False)
        return pd.Series(np.memmap(path, np.float64, mode="r"), copy=False)

    def _numbered(self, name: str, values: pd.Series) -> NDArray[np.int32]:
        """Return the number of each text, -1 where it is missing; down to the row where there are too many."""
        numbers = self._numbers[name]
        codes, texts = pd.factorize(values)
        for text in texts:
            numbers.setdefault(text, len(numbers))
        of_texts = np.array([*(numbers[text] for text in texts), -1], dtype=np.int32)[codes]
        if len(numbers) <= MOST_TEXTS:
            return of_texts
        end = int(np.argmax(of_texts >= MOST_TEXTS))
        self.cut[name] = self.rows - len(values) + end
        self._numbers[name] = {text: number for text, number in numbers.items() if number < MOST_TEXTS}
        return of_texts[:end]

    def _append(self, name: str, values: NDArray[Any]) -> None:
        with self._paths[name].open("ab") as file:
            file.write(values.tobytes())


class _Frame:
    """What is asked of a frame: some of the rows of a table in files."""

    def __init__(self, files: _Columns, rows: NDArray[np.bool_] | None = None) -> None:
        self._files, self._rows = files, rows

    @property
    def columns(self) -> list[str]:
        return list(self._files.kinds)

    @property
    def index(self) -> pd.RangeIndex:
        return pd.RangeIndex(len(self))

    @property
    def columns_cut(self) -> dict[str, int]:
        return self._files.cut

    def __len__(self) -> int:
        return self._files.rows if self._rows is None else int(self._rows.sum())

    def __contains__(self, name: object) -> bool:
        return name in self._files.kinds

    def __getitem__(self, asked: str | NDArray[np.bool_]) -> Any:
        if not isinstance(asked, str):
            return self._some(asked)
        values = self._files.column(asked)
        if self._rows is None:
            return values
        return values[self._rows[: len(values)]].reset_index(drop=True)

    def _some(self, chosen: NDArray[np.bool_]) -> _Frame:
        rows = np.ones(self._files.rows, dtype=np.bool_) if self._rows is None else self._rows.copy()
        rows[rows] = chosen
        return _Frame(self._files, rows)

    def reset_index(self, *, drop: bool) -> _Frame:
        del drop  # rows have no names here
        return self
