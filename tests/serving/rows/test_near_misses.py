"""What is said of a name or a date that almost is one."""

from __future__ import annotations

import time
import unicodedata
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schema import Column, Schema
from serving.rows.cells import near_misses
from serving.rows.cells.coercion import pack_arrow, pack_columns, pack_row
from serving.rows.media import ARROW, CSV, PARQUET
from tests.serving.front.formats import in_every_format

OTHER_FORM = "an ISO 8601 form that is not read here; write 2023-05-01T10:00:00"
DATES = Schema((Column("when", "datetime"),), target="y")

OTHER_FORMS = [
    *(
        "2023-W18-1",
        "2023W181",
        "2023-W18",
        "20230501T100000Z",
        "20230501",
        "20230501T10",
        "2023-121",
        "2023121",
    ),
    *(
        "2023-05",
        "2023-05-01T10",
        "2023-05-01T10:00:00,5",
        "2023-05-01T100000",
        "2023-05-01T10:00:00.1234567890",
    ),
    *(
        "2023-05-01t10:00:00z",
        "2023-05-01 10:00:00 Z",
        "2023-05-01T10:00:00+02:00[Europe/Paris]",
        "+002023-05-01",
    ),
    "2023-W18-1T10:00:00Z",
]


def found_in(text: str) -> set[str]:
    """What is said of a date in JSON, alone and among others, in CSV and in Parquet or Arrow."""
    texts = pa.RecordBatch.from_pydict({"when": [text]})
    packed = [
        pack_row({"when": text}, DATES),
        pack_columns({"when": ["2023-05-01", text]}, DATES),
        pack_arrow(texts, DATES, is_text=True),
        pack_arrow(texts, DATES),
        pack_arrow(pa.RecordBatch.from_pydict({"when": texts["when"].dictionary_encode()}), DATES),
    ]
    return {each.faults[0].found for each in packed}


@pytest.mark.parametrize("text", OTHER_FORMS)
def test_another_form_of_iso_8601_is_named_as_that(text):
    """It is a valid date, so 'expected an ISO 8601 date' alone misleads. The same at every door."""
    assert found_in(text) == {OTHER_FORM}


@pytest.mark.parametrize(
    "text", ["2023-02-30", "2023-05-01T24:30:00", "2023-13-01", "0000-01-01", "2023-05-01T10:61"]
)
def test_a_day_that_does_not_exist_is_named_as_that(text):
    """The form is right."""
    assert found_in(text) == {"a date or time that does not exist"}


@pytest.mark.parametrize(
    "text", ["soon", "01.05.2023", "5/1/2023", "May 1, 2023", "1683021600", "2023-05-01Tsoon", "2023_05_01"]
)
def test_what_is_no_iso_8601_is_text(text):
    """In Arrow and CSV the type is said, as before."""
    assert {found.partition(",")[0] for found in found_in(text)} <= {
        "text",
        "string",
        "dictionary<values=string",
    }


@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)))
def test_pythons_other_forms_are_known(moment):
    """Each is what Python's own reader takes for the same day."""
    week, basic = "{}-W{:02}-{}".format(*moment.isocalendar()), moment.strftime("%Y%m%dT%H%M%S")
    for text in (week, basic, moment.strftime("%Y-%j")):
        assert near_misses.of_date(text) == OTHER_FORM
    assert datetime.fromisoformat(week).date() == moment.date()


def test_a_long_text_takes_no_longer():
    """A pattern must not be slow on purpose."""
    began = time.process_time()
    for text in ("2" * 10**6, "2023-05-01T" + "1" * 10**6, "2023-05-01T10:00:00[" + "a" * 10**6, " " * 10**6):
        assert near_misses.of_date(text) == "text"
    assert time.process_time() - began < 1


NAME = unicodedata.normalize("NFC", "größe é")
NEAR = [
    (unicodedata.normalize("NFD", NAME), "has another Unicode form (this one is NFC)"),
    (NAME.upper(), "differs in upper and lower case"),  # ß becomes SS
    ("Größe É", "differs in upper and lower case"),
    (f" {NAME}", "has blanks around it"),
    (f"\ufeff{NAME}", "has blanks around it"),
    (f"{NAME}\t", "has blanks around it"),
    (f" {NAME.title()}", "differs in case, blanks or Unicode form"),
]


@pytest.mark.parametrize(("sent", "how"), NEAR)
def test_a_name_that_nearly_is_a_columns_gets_a_hint(sent, how):
    """A Mac writes NFD, Excel a mark or blanks; both look the same as the name that is expected."""
    schema = Schema((Column(NAME, "number"), Column("other", "number")), target="y")
    packed = [
        pack_row({sent: 1.0, "other": 1.0}, schema),
        pack_columns({sent: [1.0], "other": [1.0]}, schema),
        pack_columns({"other": [1.0]}, schema, [sent, "other"]),
        pack_arrow(pa.RecordBatch.from_pydict({sent: [1.0], "other": [1.0]}), schema),
    ]
    for each in packed:
        (fault,) = each.faults
        assert (fault.column, fault.found) == (
            NAME,
            f"no such column, but one whose name {how}: did you mean it?",
        )


def test_a_name_in_nfd_says_so_too():
    """The model may have been trained on a Mac."""
    name = unicodedata.normalize("NFD", "é")
    packed = pack_row({"é": 1.0}, Schema((Column(name, "number"),), target="y"))
    assert "(this one is NFD)" in packed.faults[0].found


def test_other_names_get_no_hint_and_none_is_quoted(server, golden):
    """What was sent does not come back; each of several rows is looked at."""
    row = {name: value for name, value in golden[0]["row"].items() if name != "hour"}
    for rows in ([row | {"secret": 1}], [row | {"secret": 1}, row]):
        answer = server.call("/invocations", {"dataframe_records": rows})[1]
        assert answer["errors"][0]["found"] == "no such column"
    for rows in ([row | {"Hour": 1}], [row, row | {"HOUR": 1}]):
        answer = server.call("/invocations", {"dataframe_records": rows})[1]
        assert answer["errors"][0]["found"].endswith("differs in upper and lower case: did you mean it?")


@pytest.mark.parametrize("kind", [CSV, PARQUET, ARROW])
def test_tables_get_the_hint_too(server, golden, kind):
    """Of Parquet and Arrow only known columns are read; the names of the others are known all the same."""
    frame = pd.DataFrame([golden[0]["row"]]).rename(columns={"hour": " Hour", "month": "month "})
    body = next(body for body, each in in_every_format(frame)[-3:] if each == kind)
    faults = server.call("/invocations", body, headers={"Content-Type": kind})[1]["errors"]
    assert {each["column"]: each["found"].split("name ")[-1] for each in faults} == {
        "hour": "differs in case, blanks or Unicode form: did you mean it?",
        "month": "has blanks around it: did you mean it?",
    }


def test_many_columns_that_are_absent_take_no_longer():
    """10,000 names against 10,000 would be a minute of work for a small body."""
    schema = Schema(tuple(Column(f"column {number}", "number") for number in range(5_000)), target="y")
    began = time.process_time()
    packed = pack_row({f"COLUMN {number}": 1 for number in range(5_000)}, schema)
    assert packed.n_faults == 5_000
    assert len(packed.faults) == 20
    assert time.process_time() - began < 5
