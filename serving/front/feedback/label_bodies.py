"""The body of a request -> labels: JSON, CSV or Parquet, within the same limits as rows that are scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data.labels import ABSENT, LABEL_COLUMNS, NAMES, Label, LabelFault, LabelReader, of_texts, of_values
from serving.errors import Fault, Malformed, TooLarge, UnusableValues
from serving.rows import budget, media, read_json
from serving.settings import Limits

MOST_LABELS = 100_000
"""Of one body. To read so many from JSON (6 MB) takes 0.9 s. Meanwhile other threads get their turn 6 ms later, and the
loop once 40 to 80 ms later: orjson holds the interpreter's lock."""
LABEL_BYTES = 800
"""That a label takes as Python's objects, as a tuple and as JSON together."""


def labels_in(body: bytes, headers: Mapping[bytes, bytes], limits: Limits) -> list[Label]:
    """Return the labels of a body; raises Malformed, TooLarge, UnusableValues or WrongType."""
    said = _text(headers, b"content-type")
    kind = media.media_type(said) if said else ""  # a page may send that anywhere, and no browser asks before
    if kind not in (media.JSON, media.CSV, media.PARQUET):
        raise media.wrong_type(kind, media.JSON, media.CSV, media.PARQUET)
    body = media.expand(body, _text(headers, b"content-encoding").lower(), limits)
    reader = LabelReader()
    labels = _of_json(body, reader, limits) if kind == media.JSON else _of_table(body, kind, reader, limits)
    reader.end()
    if reader.count:
        raise UnusableValues(faults=[_fault(each) for each in reader.faults], count=reader.count)
    if not labels:
        raise Malformed("there are no labels: send at least one")
    return labels


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").strip()


def _fault(given: LabelFault) -> Fault:
    return Fault(given.row, given.column, given.expected, given.found)


def _of_json(body: bytes, reader: LabelReader, limits: Limits) -> list[Label]:
    sent = read_json(body, limits)
    if not isinstance(sent, list) or not all(type(label) is dict for label in sent):
        raise Malformed("send a list of labels, each an object with id or client_id, and actual")
    _check_rows(len(sent), limits)
    budget.need(LABEL_BYTES * len(sent))
    for row, label in enumerate(sent):
        if beside := len(label.keys() - set(NAMES)):
            reader.refuse("keys", f"none but {', '.join(NAMES)}", f"{beside} more", row=row)
    return reader.read([label.get(name, ABSENT) for name in NAMES] for label in sent)


def _check_rows(rows: int, limits: Limits) -> None:
    most = min(MOST_LABELS, limits.rows)
    if rows > most:
        raise TooLarge(what="labels", limit=most)


def _of_table(body: bytes, kind: str, reader: LabelReader, limits: Limits) -> list[Label]:
    import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs

    from serving.rows.tabular import open_batches  # noqa: PLC0415 - as above

    try:
        batches, sent = open_batches(body, kind, LABEL_COLUMNS, limits)
        reader.check_names(set(sent))
        return (
            []
            if reader.count
            else [label for each in batches for label in _of_batch(each, kind, reader, limits)]
        )
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise Malformed(f"the body is no readable {kind}") from error


def _of_batch(batch: Any, kind: str, reader: LabelReader, limits: Limits) -> Iterator[Label]:
    _check_rows(reader.rows + batch.num_rows, limits)
    budget.need(LABEL_BYTES * batch.num_rows)
    yield from reader.read(of_texts(batch) if kind == media.CSV else of_values(batch))
