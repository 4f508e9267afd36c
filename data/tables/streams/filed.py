"""A table in files, of which one column is held at a time: for checks that look at one after the other.

Numbers are read from their file where they are looked at, so that they take no memory of their own; so are those of
texts, and the texts that differ. The cells are those that a table in memory has, but a column of texts is one of
pandas' categories, in the order of their first rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.long_arrays import chosen
from data.own_files import own_folder
from data.schema import Kind
from data.tables import Table
from data.tables.streams.column_facts import MOST_TEXTS
from data.tables.streams.form import Form
from data.tables.streams.text_numbers import TextNumbers

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
    if values.dtype == DATES or isinstance(values.dtype, pd.CategoricalDtype):
        return values.astype(object).where(values.notna(), None)
    return values.copy()


def _texts(numbers: NDArray[Any], texts: pd.Index) -> pd.Series:
    """Return a column of the texts that have these numbers, a byte or two of each row where there are few."""
    return pd.Series(pd.Categorical.from_codes(numbers, texts, validate=False), copy=False)


def _mapped(path: Path) -> Iterable[pa.RecordBatch]:
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    return (file.get_batch(place) for place in range(file.num_record_batches))


class _Columns:
    """The files: of numbers as they are, of texts the number of each, of dates their texts."""

    def __init__(self, folder: Path, kinds: Mapping[str, Kind | None]) -> None:
        self.kinds, self.rows = kinds, 0
        self.cut: dict[str, int] = {}
        self._paths = {name: folder / f"column-{place}" for place, name in enumerate(kinds)}
        self._numbers = {
            name: TextNumbers(folder / f"texts-{place}")
            for place, (name, kind) in enumerate(kinds.items())
            if kind == "category"
        }
        self._folder = folder
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

    def column(self, name: str, rows: NDArray[np.bool_] | None = None) -> pd.Series:
        """Return the cells of a column, all or those of some rows."""
        kind, path = self.kinds[name], self._paths[name]
        if kind is None:
            count = self.rows if rows is None else int(np.count_nonzero(rows))
            return _texts(np.full(count, -1, dtype=np.int8), pd.Index([], dtype=object))
        if kind == "datetime":
            return self._dates_of(name, rows)
        values = np.memmap(path, np.int32 if kind == "category" else np.float64, mode="r")
        some = values if rows is None else chosen(values, rows[: len(values)])
        if kind == "category":
            return _texts(some, self._numbers[name].texts(MOST_TEXTS))
        return pd.Series(some, copy=False)

    def _dates_of(self, name: str, rows: NDArray[np.bool_] | None) -> pd.Series:
        batches = _mapped(self._dates)
        if rows is None:
            parts = [batch.column(name) for batch in batches]
            return pd.Series(pd.array(pa.chunked_array(parts), dtype=DATES), copy=False)
        schema, start = pa.schema([(name, pa.large_string())]), 0
        with tempfile.NamedTemporaryFile(dir=self._folder) as file:
            with pa.ipc.new_file(file.name, schema) as writer:
                for batch in batches:
                    some = batch.select([name]).filter(pa.array(rows[start : start + batch.num_rows]))
                    writer.write_batch(some)
                    start += batch.num_rows
            parts = [batch.column(0) for batch in _mapped(Path(file.name))]
        return pd.Series(pd.array(pa.chunked_array(parts), dtype=DATES), copy=False)

    def _numbered(self, name: str, values: pd.Series) -> NDArray[np.int32]:
        """Return the number of each text, -1 where it is missing; down to the row where there are too many."""
        numbers = self._numbers[name]
        codes, texts = pd.factorize(values)
        of_texts = np.append(numbers.of(np.asarray(texts, dtype=object)), np.int32(-1))[codes]
        if len(numbers) <= MOST_TEXTS:
            return of_texts
        end = int(np.argmax(of_texts >= MOST_TEXTS))
        self.cut[name] = self.rows - len(values) + end
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
        return self._files.column(asked, self._rows)

    def _some(self, chosen: NDArray[np.bool_]) -> _Frame:
        rows = np.ones(self._files.rows, dtype=np.bool_) if self._rows is None else self._rows.copy()
        rows[rows] = chosen
        return _Frame(self._files, rows)

    def reset_index(self, *, drop: bool) -> _Frame:
        del drop  # rows have no names here
        return self
