"""The description of a row that training, the signature, the server and the documents share.

A schema says what a column holds and what training saw there. It does not read tables and
does not judge them: `data.checks` does. It assumes nothing about the future; a value outside
the range or categories below is a fact for the caller to report, not an error of this module.

In the packed matrix every column is one float64:

    number     the value; NaN where missing
    boolean    1.0 or 0.0; NaN where missing
    category   the position in `Column.categories`; -1.0 where unseen; NaN where missing
    datetime   seconds since 1970-01-01T00:00:00, microseconds kept; NaN where missing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

from data.cells import Reading

Kind = Literal["number", "boolean", "category", "datetime"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Value = float | bool | str | None
"""A value of a column as JSON writes it."""

LARGEST_EXACT = 2**53
"""The largest whole number up to which float64 has all; beyond it some are skipped."""

DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
"""The ISO 8601 text that counts as a date, with or without a time and an offset."""

MISSING_WORDS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("N/A", "NA", "NULL", "NaN", "n/a", "nan", "null", "None", "<NA>"),
)
"""What a missing value is in a text file, as in pandas.

Of numbers, dates and booleans the whole list is; of a category the list less its own categories, since what a model
learned as a value is one.
"""

UNSEEN = -1.0
"""The packed code of a category that training did not see."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Which quantiles of a number or a datetime a column keeps."""


@dataclass(frozen=True)
class Column:
    """One input column.

    Attributes
    ----------
    name : str
        As in the table.
    kind : {"number", "boolean", "category", "datetime"}
        What the values are.
    missing : bool
        Whether training saw a missing value here.
    unit : str or None
        As the user gave it.
    minimum, maximum : float or None
        Range seen in training (number; datetime in seconds since 1970).
    quantiles : tuple of float
        At `QUANTILES`; empty where the kind has none.
    categories : tuple of str
        Values seen in training, sorted by code point; the packed code is the position here.
    reading : Reading or None
        How its texts are read, where they are more than plain.
    """

    name: str
    kind: Kind
    missing: bool = False
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    quantiles: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    reading: Reading | None = None

    @cached_property
    def codes(self) -> dict[str, float]:
        """The packed code of each category."""
        return {category: float(code) for code, category in enumerate(self.categories)}

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form: name, kind, missing, and what this kind has beyond them."""
        written: dict[str, Any] = {"name": self.name, "kind": self.kind, "missing": self.missing}
        if self.unit is not None:
            written["unit"] = self.unit
        if self.minimum is not None:
            written["minimum"], written["maximum"] = self.minimum, self.maximum
            written["quantiles"] = dict(zip(map(str, QUANTILES), self.quantiles, strict=True))
        if self.kind == "category":
            written["categories"] = list(self.categories)
        if self.reading is not None:
            written["reading"] = self.reading.as_dict()
        return written

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Column:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        if written["kind"] not in KINDS:
            raise ValueError(
                f"column {written['name']!r} has kind {written['kind']!r}, must be one of {KINDS}"
            )
        return cls(
            name=written["name"],
            kind=written["kind"],
            missing=written["missing"],
            unit=written.get("unit"),
            minimum=written.get("minimum"),
            maximum=written.get("maximum"),
            quantiles=tuple(written.get("quantiles", {}).values()),
            categories=tuple(written.get("categories", ())),
            reading=_reading(written),
        )


@dataclass(frozen=True)
class Schema:
    """The input columns in the order of the packed matrix, and the target.

    >>> schema = Schema((Column("x", "number"),), target="y", target_unit="min")
    >>> Schema.from_dict(schema.as_dict()) == schema
    True
    """

    columns: tuple[Column, ...]
    target: str
    target_unit: str | None = None
    target_reading: Reading | None = None
    _by_name: dict[str, Column] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({column.name: column for column in self.columns})

    @property
    def names(self) -> tuple[str, ...]:
        """The input columns' names in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def known_words(self) -> frozenset[str]:
        """The words for a missing value that are a category of some column."""
        return frozenset(word for column in self.columns for word in MISSING_WORDS if word in column.codes)

    @cached_property
    def missing_words(self) -> tuple[str, ...]:
        """The words for a missing value that are a category of no column: what the reader of a text file is told."""
        return tuple(word for word in MISSING_WORDS if word not in self.known_words)

    def without_missing_words(self, texts: Any, name: str) -> Any:
        """Return a column as the reader of a text file left it, without the words that are missing in it alone.

        Parameters
        ----------
        texts : pyarrow.Array or pyarrow.ChunkedArray
            Of another type than text it comes back as it is, and mostly anyway.
        """
        import pyarrow as pa  # noqa: PLC0415 - 60 MB that a worker for JSON never needs
        import pyarrow.compute as pc  # noqa: PLC0415 - as above

        column = self._by_name.get(name)
        words = self.known_words.difference(column.categories if column else ())
        if not words or not pa.types.is_string(texts.type):
            return texts
        return pc.if_else(pc.is_in(texts, value_set=pa.array(sorted(words))), None, texts)

    @cached_property
    def has_readings(self) -> bool:
        """Whether the texts of any input column are read in a way of their own."""
        return any(column.reading is not None for column in self.columns)

    @property
    def readings(self) -> dict[str, Reading]:
        """How the texts of the columns, and of the target, are read, where they are more than plain."""
        of_target = {self.target: self.target_reading} if self.target_reading else {}
        return of_target | {column.name: column.reading for column in self.columns if column.reading}

    def __getitem__(self, name: str) -> Column:
        """Return the column of that name; raises KeyError."""
        return self._by_name[name]

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        target: dict[str, Any] = {"name": self.target} | (
            {"unit": self.target_unit} if self.target_unit else {}
        )
        if self.target_reading is not None:
            target["reading"] = self.target_reading.as_dict()
        return {"columns": [column.as_dict() for column in self.columns], "target": target}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Schema:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        columns = tuple(Column.from_dict(column) for column in written["columns"])
        target = written["target"]
        return cls(
            columns, target=target["name"], target_unit=target.get("unit"), target_reading=_reading(target)
        )


def _reading(written: Mapping[str, Any]) -> Reading | None:
    return Reading.from_dict(written["reading"]) if "reading" in written else None
