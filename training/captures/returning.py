"""Labels of a table are kept: as a file that appears whole, once every row was found to be a label.

Columns that captures have of their own mean the same here: who joins outcomes to rows of `predictions/` can send
`slipway_id` back as it is.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import pyarrow as pa

from data.captures import FrameLayout, Places, RecordFile
from data.errors import DuplicateColumns, EmptySource
from data.labels import LABEL_COLUMNS, LabelReader, labels_record, of_texts, of_values
from data.own_files import sync_folder
from data.sources import Source
from training.archive.errors import NotCaptured, UnusableLabels

ALSO = {"caller_id": "client_id", "slipway_id": "id", "slipway_caller_id": "client_id", "slipway_row": "row"}
"""Other names for what a label may say."""

PART = ".labels-"
STALE_SECONDS = 86_400.0
"""After which an unfinished file is one of a process that died."""


def check_captured(places: Places, model: str) -> None:
    """Raise NotCaptured where nothing of a model was kept."""
    known = set()
    for name in _captured(places):
        if name == model:
            return
        known.add(name)
    raise NotCaptured(where=str(places.folder), name=model, names=sorted(known))


def _captured(places: Places) -> Iterator[str]:
    """Yield the names of models, of what is Parquet first: that is quickly known."""
    for path in places.predictions.glob("slipway_model=*"):
        yield unquote(path.name.partition("=")[2])
    for path in sorted(places.frames.glob("*")):
        with suppress(OSError, ValueError):  # it became Parquet meanwhile, or is none of ours
            yield from _layouts_in(path)


def _layouts_in(path: Path) -> Iterator[str]:
    for record in RecordFile(path):
        if layout := FrameLayout.of(record):
            yield layout.model


def keep_labels(places: Places, model: str, source: Source) -> int:
    """Keep the labels of a table and return how many there are.

    Raises
    ------
    NotCaptured
        Nothing of the model was kept: its labels would be nobody's.
    UnusableLabels
        None is kept then.
    EmptySource, DataError
        The table has no rows, or cannot be read.
    OSError
        No room, or no right to write: none is kept.
    """
    check_captured(places, model)
    with kept_file(places) as file:
        return _write(file, model, source)


@contextmanager
def kept_file(places: Places) -> Iterator[BinaryIO]:
    """Give a file that is kept as one of labels where the block ends, and is not there where it does not."""
    places.labels.mkdir(mode=0o700, exist_ok=True)
    _sweep(places.folder)
    handle, name = tempfile.mkstemp(prefix=PART, dir=places.folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        path = places.labels / f"{time.time_ns() // 10**6:013d}-{secrets.token_hex(6)}{places.LABELS}"
        Path(name).rename(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and not error.filename:
            raise OSError(error.errno, error.strerror, str(places.labels)) from error
        raise
    sync_folder(places.labels)


def _write(file: BinaryIO, model: str, source: Source) -> int:
    """Write the labels as they are read; raises UnusableLabels once all are."""
    reader, known = LabelReader(), source.knowing(LABEL_COLUMNS)
    for batch in known.batches():
        named = _named(batch, source.where)
        if not reader.rows:
            reader.check_names(set(named.schema.names))
            _refuse_faults(reader, source.where)
        labels = reader.read(of_texts(named) if source.is_text else of_values(named))
        if not reader.count:
            file.write(labels_record(model, labels))
    reader.end()
    _refuse_faults(reader, source.where)
    if not reader.rows:
        raise EmptySource(where=source.where)
    return reader.rows


def _named(batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
    names = [ALSO.get(name, name) for name in batch.schema.names]
    twice = [name for name, own in zip(batch.schema.names, names, strict=True) if names.count(own) > 1]
    if twice:
        raise DuplicateColumns(where=where, columns=twice)
    return batch.rename_columns(names)


def _refuse_faults(reader: LabelReader, where: str) -> None:
    if reader.count:
        fault = reader.faults[0]
        row = None if fault.row is None else fault.row + 1
        raise UnusableLabels(
            where=where,
            row=row,
            column=fault.column,
            expected=fault.expected,
            found=fault.found,
            count=reader.count,
        )


def _sweep(folder: Path) -> None:
    """Delete what processes left that died before they were done."""
    for path in folder.glob(f"{PART}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
