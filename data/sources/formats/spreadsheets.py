"""A sheet of a workbook (Excel, OpenDocument) as delimited text, so that its cells are read as any text's are.

Numbers are written so that they read back as the same, dates as ISO 8601, an error such as #DIV/0! is an empty cell.
Formulas count with the value that was saved. A workbook is read into memory, so its size is limited.
"""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, time
from pathlib import Path
from typing import Any, BinaryIO, cast

from data.errors import UnreadableSource
from data.figures import number
from data.sources.files import open_file

ENDINGS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
LARGEST = 2**30
"""Bytes that a workbook may unpack to."""

_EXACT = 1e15
_INSTALL = "pip install '.[excel]' in Slipway's folder, or save the sheet as CSV"


def is_workbook(path: str) -> bool:
    """Return whether a file's ending is that of a workbook."""
    return Path(path).suffix.lower() in ENDINGS


def split_sheet(where: str) -> tuple[str, str]:
    """Return a path and the sheet that it names behind a #, "" for none.

    >>> split_sheet("sales.xlsx#May 2024")
    ('sales.xlsx', 'May 2024')
    """
    path, mark, sheet = where.rpartition("#")
    return (path, sheet) if mark and is_workbook(path) else (where, "")


@contextmanager
def opened(path: str, sheet: str) -> Iterator[BinaryIO]:
    """Yield a sheet as comma-separated UTF-8 on disk; raises UnreadableSource."""
    with tempfile.TemporaryFile() as made:
        text = io.TextIOWrapper(cast("Any", made), encoding="utf-8", newline="")
        writer = csv.writer(text, lineterminator="\r\n")  # a cell with either of the two is quoted then
        writer.writerows([_written(cell) for cell in row] for row in _rows(path, sheet))
        text.flush()
        made.seek(0)
        yield cast("BinaryIO", made)
        text.detach()


def _rows(path: str, wanted: str) -> Iterator[list[Any]]:
    """Yield the cells of the sheet that is asked for, or the only one that has any."""
    try:
        import python_calamine  # noqa: PLC0415 - an extra, for workbooks only
    except ImportError as error:
        raise UnreadableSource(
            where=path, reason="a workbook needs python-calamine", repair=_INSTALL
        ) from error
    try:
        with open_file(path) as file, _loaded(path, file) as book:
            sheets = {name: book.get_sheet_by_name(name) for name in book.sheet_names}
            yield from sheets[
                _chosen(path, wanted, {n: sheet.height for n, sheet in sheets.items()})
            ].to_python()
    except (python_calamine.CalamineError, OSError) as error:
        raise UnreadableSource(
            where=path, reason=f"is no workbook that can be read: {error}", repair="save the sheet as CSV"
        ) from error


def _chosen(path: str, wanted: str, heights: dict[str, int]) -> str:
    if wanted in heights:
        return wanted
    filled = [name for name, height in heights.items() if height]
    if len(filled) == 1 and not wanted:
        return filled[0]
    shown = ", ".join(map(repr, heights if wanted else filled))
    if wanted:
        raise UnreadableSource(where=path, reason=f"has no sheet {wanted!r}", repair=f"it has {shown}")
    if not filled:
        raise UnreadableSource(where=path, reason="has no sheet with a cell", repair="pass one that has")
    raise UnreadableSource(
        where=path,
        reason=f"has cells on {len(filled)} sheets ({shown})",
        repair=f"name one: {path}#{filled[0]}",
    )


def _loaded(path: str, file: BinaryIO) -> Any:
    import python_calamine  # noqa: PLC0415 - an extra, for workbooks only

    _refuse_large(path, file)
    file.seek(0)
    return python_calamine.load_workbook(file)


def _refuse_large(path: str, file: BinaryIO) -> None:
    if not zipfile.is_zipfile(file):
        return  # .xls, or nothing that can be read
    with zipfile.ZipFile(file) as archive:
        size = sum(each.file_size for each in archive.infolist())
    if size > LARGEST:
        raise UnreadableSource(
            where=path,
            reason=f"unpacks to {number(size / 2**30, 3)} GB, at most {number(LARGEST / 2**30, 3)} is read",
            repair="save the sheet as CSV",
        )


def _written(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _EXACT else repr(cell)
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)
