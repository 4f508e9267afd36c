"""Labels: each is used exactly as it was sent, or named as a fault; nothing of the payload is repeated."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pytest

from data.captures import PredictionId, RecordFile
from data.labels import ABSENT, NAMES, Label, LabelReader, labels_record, of_texts, of_values

ID = "019ac5b0-1c00-7abc-9234-56789a000007"


def read(*labels, **label):
    """Read labels, each a dict; return them and the reader."""
    reader = LabelReader()
    given = [*labels, label] if label else labels
    found = reader.read([each.get(name, ABSENT) for name in NAMES] for each in given)
    reader.end()
    return found, reader


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ({"id": ID, "actual": 1.5}, Label(ID, None, None, 1.5, None)),
        ({"id": ID.upper(), "actual": 2}, Label(ID, None, None, 2.0, None)),
        ({"id": UUID(ID), "actual": Decimal("0.1")}, Label(ID, None, None, 0.1, None)),
        ({"id": UUID(ID).bytes, "actual": 0}, Label(ID, None, None, 0.0, None)),
        ({"id": ID, "client_id": None, "row": None, "actual": None}, Label(ID, None, None, None, None)),
        ({"client_id": "ü", "actual": -0.0}, Label(None, "ü", 0, -0.0, None)),
        (
            {"client_id": "a", "row": 3.0, "actual": 1, "at": "1970-01-01T00:00:00.0019Z"},
            Label(None, "a", 3, 1.0, 1),
        ),
        (
            {"client_id": "a", "row": 0, "actual": 1, "at": "1969-12-31T23:59:59.9999+00:00"},
            Label(None, "a", 0, 1.0, -1),
        ),
        ({"id": ID, "actual": 1, "at": "1970-01-01T02:00:01+02:00"}, Label(ID, None, None, 1.0, 1_000)),
        ({"id": ID, "actual": 1, "at": "1970-01-02"}, Label(ID, None, None, 1.0, 86_400_000)),
        (
            {"id": ID, "actual": 1, "at": datetime(1970, 1, 2, tzinfo=UTC)},
            Label(ID, None, None, 1.0, 86_400_000),
        ),
    ],
)
def test_a_label_is_read_as_it_was_sent(label, expected):
    """The row is the first where none is said; a moment is cut to its millisecond, before 1970 too."""
    found, reader = read(label)
    assert (found, reader.faults) == ([expected], [])


@pytest.mark.parametrize(
    ("label", "columns"),
    [
        ({"actual": 1}, ["id"]),
        ({"id": ID, "client_id": "a", "actual": 1}, ["id"]),
        ({"id": ID, "row": 1, "actual": 1}, ["row"]),
        ({"id": ID}, ["actual"]),
        ({"id": ID.replace("7abc", "4abc"), "actual": 1}, ["id"]),
        ({"id": 7, "actual": 1}, ["id"]),
        ({"id": b"", "actual": 1}, ["id"]),
        ({"id": UUID(ID).bytes[1:], "actual": 1}, ["id"]),
        ({"id": "", "actual": 1}, ["id"]),
        ({"client_id": "", "actual": 1}, ["client_id"]),
        ({"client_id": "ü" * 65, "actual": 1}, ["client_id"]),
        ({"client_id": "\ud800", "actual": 1}, ["client_id"]),
        ({"client_id": 5, "actual": 1}, ["client_id"]),
        ({"client_id": ["a"], "actual": {}}, ["client_id", "actual"]),
        ({"client_id": "a", "row": -1, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": 2**24, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": 1.5, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": True, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": math.nan, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": math.inf, "actual": 1}, ["row"]),
        ({"client_id": "a", "row": "1", "actual": 1}, ["row"]),
        ({"id": ID, "actual": "1.5"}, ["actual"]),
        ({"id": ID, "actual": True}, ["actual"]),
        ({"id": ID, "actual": math.nan}, ["actual"]),
        ({"id": ID, "actual": -math.inf}, ["actual"]),
        ({"id": ID, "actual": Decimal("NaN")}, ["actual"]),
        ({"id": ID, "actual": Decimal("1e400")}, ["actual"]),
        ({"id": ID, "actual": 2**53 + 1}, ["actual"]),
        ({"id": ID, "actual": 10**400}, ["actual"]),
        ({"id": ID, "actual": 1, "at": "yesterday"}, ["at"]),
        ({"id": ID, "actual": 1, "at": 1_700_000_000}, ["at"]),
        ({"id": ID, "actual": 1, "at": "2026-02-30"}, ["at"]),
        ({"id": "x", "client_id": 1, "row": "y", "actual": "z", "at": []}, [*NAMES]),
    ],
)
def test_what_is_no_label_is_named_by_its_columns(label, columns):
    """All faults at once, each with its row; nothing is converted that was not sent as what it is."""
    found, reader = read({"id": ID, "actual": 1.5}, label)
    assert found == [Label(ID, None, None, 1.5, None)]
    assert [fault.column for fault in reader.faults] == columns
    assert {fault.row for fault in reader.faults} == {1}


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_of_several_rows_needs_the_row_of_each(order):
    """No row is the first row. Where others of the request are named, it is more likely one that was forgotten."""
    labels = [{"client_id": "a", "actual": 1}, {"client_id": "a", "row": 1, "actual": 1}][::order]
    _, reader = read(*labels, {"client_id": "b", "actual": 1})
    (fault,) = reader.faults
    assert (fault.column, fault.row) == ("row", 0 if order == 1 else 1)
    assert read({"client_id": "a", "actual": 1}, {"client_id": "a", "actual": 2})[1].count == 1
    assert not read({"client_id": "a", "row": 0, "actual": 1}, {"client_id": "a", "row": 1, "actual": 2})[
        1
    ].count


def test_the_first_faults_are_listed_and_all_are_counted():
    """A million faults make no answer of a hundred megabytes."""
    _, reader = read(*[{"id": ID, "actual": "secret"}] * 1_000)
    assert (len(reader.faults), reader.count) == (20, 1_000)
    assert "secret" not in str(reader.faults)


def test_a_table_without_our_columns_is_named_by_them():
    """A misspelt column would be read as one that is not there."""
    reader = LabelReader()
    reader.check_names({"id", "actual", "tiem"})
    reader.check_names({"row", "at"})
    assert [fault.column for fault in reader.faults] == ["columns", "actual", "id"]
    assert "tiem" not in str(reader.faults)


def test_texts_of_a_table_are_numbers_where_they_look_so_throughout():
    """CSV has nothing but texts; an empty cell is null, and NaN is no number."""
    batch = pa.record_batch(
        {
            "client_id": ["1", "NA", "", None],
            "row": ["2", "", "x", "1e3"],
            "actual": [" 1.5", "", "NaN", "1_0"],
        }
    )
    assert list(of_texts(batch)) == [
        (ABSENT, "1", 2, 1.5, ABSENT),
        (ABSENT, "NA", None, None, ABSENT),
        (ABSENT, None, "x", "NaN", ABSENT),
        (ABSENT, None, 1000.0, "1_0", ABSENT),
    ]


def test_values_of_a_table_keep_their_types():
    """Nanoseconds, dictionaries, decimals, and a moment of a year that Python does not know."""
    batch = pa.record_batch(
        {
            "id": pa.array([ID, None]).dictionary_encode(),
            "actual": pa.array([Decimal("1.50"), None]),
            "at": pa.array([1_000_001, None], pa.timestamp("ns", "UTC")),
        }
    )
    first, second = of_values(batch)
    assert first[:4] == (ID, ABSENT, ABSENT, Decimal("1.50"))
    assert first[4] == datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC)
    assert second == (None, ABSENT, ABSENT, None, None)
    far = pa.record_batch({"id": [ID], "actual": [1], "at": pa.array([2**60], pa.timestamp("us"))})
    reader = LabelReader()
    assert reader.read(of_values(far)) == []
    assert reader.faults[0].column == "at"


def test_a_record_says_when_labels_came_finer_than_a_millisecond(tmp_path):
    """The last received wins: two answers within one millisecond have an order too."""
    label = Label(str(PredictionId.parse(ID)), None, None, 1.5, None)
    path = tmp_path / "x.labels"
    path.write_bytes(labels_record("flights", [label]) + labels_record("flights", [label]))
    first, second = RecordFile(path)
    assert first.head["labels"] == [[ID, None, None, 1.5, None]]
    assert (first.head["kind"], first.head["model"]) == ("labels", "flights")
    assert first.head["received"] <= second.head["received"] < first.head["received"] + 1_000
