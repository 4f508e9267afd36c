"""The parameters that several commands take, each said once: type, kind and help; defaults stand with the commands."""

from __future__ import annotations

from typing import Annotated, Literal

from data.cells import HINTS
from data.sources import HEADERS, Header
from training.commands.parameters import Parameter
from training.commands.values import kinds, one_of_or_unsaid

Table = Annotated[str, Parameter(kinds.TABLE, "a path, glob, folder, store's address or SQLAlchemy URL")]
Captures = Annotated[str, Parameter(kinds.FOLDER, "the folder of --capture", metavar="DIR")]
CapturesOrNone = Annotated[str, Parameter(help="the folder of --capture, in place of data", metavar="DIR")]
Query = Annotated[str, Parameter(kinds.QUERY, "SQL, where data is a database")]
HeaderAsked = Annotated[
    Header | Literal[""],
    Parameter(
        one_of_or_unsaid(HEADERS),
        f"whether text files begin with the columns' names: one of {', '.join(HEADERS)}",
    ),
]
Encoding = Annotated[str, Parameter(help="of text files, such as cp1251; default: UTF-8, or found")]
Units = tuple[tuple[str, str], ...]
Read = Annotated[
    tuple[tuple[str, str], ...],
    Parameter(kinds.READINGS, f"such as price:currency,when:date-dmy; {', '.join(HINTS)}"),
]
Missing = Annotated[
    tuple[str, ...],
    Parameter(kinds.MISSING_WORDS, "what means a missing value, such as ?,-200 or speed:none"),
]
Decimal = Annotated[str, Parameter(kinds.DECIMAL, "decimal mark of all columns")]
Strict = Annotated[bool, Parameter(kinds.YES_OR_NO, "what looks wrong is an error")]
Explain = Annotated[
    bool, Parameter(kinds.YES_OR_NO, "keep what explains predictions, a few training rows among it")
]
Result = Annotated[str, Parameter(help="what came of it, as JSON for programs", metavar="FILE")]
FailIfKept = Annotated[bool, Parameter(kinds.YES_OR_NO, "exit with 4 where it is not promoted")]
Name = Annotated[str, Parameter(kinds.NAME, "the registered model")]
Version = Annotated[str, Parameter(kinds.VERSION, "its number")]
Reason = Annotated[str, Parameter(help="kept in the ledger")]
Memory = Annotated[
    float | None,
    Parameter(
        kinds.SIZE,
        "that the table may take, such as 2GB: of a larger one a sample or parts; default: auto, what is free",
        metavar="SIZE",
    ),
]
Excluded = Annotated[tuple[str, ...], Parameter(kinds.COLUMNS, "columns that are no features, by comma")]


def column(text: str) -> Parameter:
    """Return the parameter that names a column, or none."""
    return Parameter(kinds.COLUMN_OR_NONE, text, metavar="COLUMN")
