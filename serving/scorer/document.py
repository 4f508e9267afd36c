"""The file `scorer.json`: what a compiled graph takes, gives, and must reproduce.

It reads and writes the document; it does not know what the graph computes. Numbers
keep all their digits, keys are sorted, and nothing in it depends on when, where or by which
run it was written, so the same model gives the same bytes. docs/scorer-format.md explains each
field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from data.cell_values import converter
from data.schema import Column, Schema, Value
from serving.scorer.errors import NotAScorer
from serving.scorer.intervals import Intervals
from serving.scorer.limits import check_written

SLIPWAY = "0.1.0"
"""This package's version; tests hold it to pyproject.toml."""

DOCUMENT_FILE = "scorer.json"


@dataclass(frozen=True)
class Parity:
    """How far the compiled graph was from the pipeline, over the rows compared.

    Attributes
    ----------
    rows : int
        Rows compared: training rows and generated hard ones.
    max_abs : float
        Largest ``|compiled - pipeline|`` on training rows, in target units.
    max_rel : float
        Largest ``|compiled - pipeline| / max(|pipeline|, target_sd)``; at most `tolerance`.
    target_sd : float
        Standard deviation of the training target.
    tolerance : float
        Wider for a network that computes in float32, and written only where it is.
    """

    TOLERANCE: ClassVar = 1e-9
    """Two computations agree within this share of max(|prediction|, sd of the training target)."""

    rows: int
    max_abs: float
    max_rel: float
    target_sd: float
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        """Whether the graph may stand for the pipeline."""
        return self.rows > 0 and self.max_rel <= self.tolerance  # NaN fails

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            key: value for key, value in vars(self).items() if (key, value) != ("tolerance", self.TOLERANCE)
        }


@dataclass(frozen=True)
class Document:
    """The content of `scorer.json`.

    Attributes
    ----------
    schema : Schema
        The input columns in the packed matrix's order, and the target.
    fingerprint : str
        Of the training data.
    parity : Parity
        Measured when the graph was compiled.
    versions : dict of str to str
        Of what made it.
    golden_rows : tuple of dict
        One dict of column name to raw value (None where missing) for each row.
    golden_predictions : tuple of float
        What the graph must give for them.
    intervals : Intervals or None
        How far intervals reach.
    golden_scales : tuple of float
        The scale that the graph must give for the golden rows; empty where it has none.
    explain : str
        The SHA-256 of the file that explains predictions; nothing where there is none.
    """

    FORMAT: ClassVar = 1
    """Raised when a reader of the old form would misread the new one."""

    schema: Schema
    fingerprint: str
    parity: Parity
    versions: Mapping[str, str]
    golden_rows: tuple[Mapping[str, Value], ...]
    golden_predictions: tuple[float, ...]
    intervals: Intervals | None = None
    golden_scales: tuple[float, ...] = ()
    explain: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        golden: list[dict[str, Any]] = [
            {"row": dict(row), "prediction": prediction}
            for row, prediction in zip(self.golden_rows, self.golden_predictions, strict=True)
        ]
        for case, scale in zip(golden, self.golden_scales, strict=False):
            case["scale"] = scale
        return {
            "format": self.FORMAT,
            "schema": self.schema.as_dict(),
            "intervals": self.intervals.as_dict() if self.intervals else None,
            "golden": golden,
            "fingerprint": self.fingerprint,
            "parity": self.parity.as_dict(),
            "versions": dict(self.versions),
        } | ({"explain": self.explain} if self.explain else {})

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Document:
        """Read the JSON form back; raises KeyError, TypeError or ValueError where it is not one."""
        if written["format"] != cls.FORMAT:
            raise ValueError(f"has format {written['format']!r}, this Slipway reads {cls.FORMAT}")
        check_written(written)
        document = cls(
            schema=Schema.from_dict(written["schema"]),
            fingerprint=written["fingerprint"],
            parity=Parity(**written["parity"]),
            versions=written["versions"],
            golden_rows=tuple(case["row"] for case in written["golden"]),
            golden_predictions=tuple(float(case["prediction"]) for case in written["golden"]),
            intervals=Intervals.from_dict(written["intervals"]) if written["intervals"] else None,
            golden_scales=tuple(float(case["scale"]) for case in written["golden"] if "scale" in case),
            explain=written.get("explain", ""),
        )
        document.golden_matrix()
        adaptive = document.intervals is not None and document.intervals.adaptive
        if len(document.golden_scales) != adaptive * len(document.golden_rows):
            raise ValueError("has golden rows whose scales do not fit its intervals")
        return document

    def golden_matrix(self) -> NDArray[np.float64]:
        """Return the golden rows packed, float64 of shape (n_golden, n_columns)."""
        packed = [
            [pack(row[column.name], column) for column in self.schema.columns] for row in self.golden_rows
        ]
        return np.array(packed, dtype=np.float64).reshape(len(packed), len(self.schema.columns))


def pack(value: Value, column: Column) -> float:
    """Return one raw value as the packed matrix holds it; raises TypeError on another kind.

    >>> pack("b", Column("letter", "category", categories=("a", "b")))
    1.0
    """
    cell = converter(column)(value)
    if cell is None:
        raise TypeError(f"column {column.name!r} holds {value!r}, which is no {column.kind}")
    return cell


def canonical(written: Mapping[str, Any]) -> bytes:
    """Return the one text of a document: sorted keys, two spaces, shortest digits that round-trip, UTF-8."""
    text = json.dumps(written, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def read_document(content: bytes) -> tuple[Document, bytes]:
    """Return the document in these bytes and its canonical bytes.

    Raises
    ------
    NotAScorer
        The bytes are not a scorer document.
    """
    try:
        written = json.loads(content, parse_constant=_refused_constant, object_pairs_hook=_without_repeats)
        return Document.from_dict(written), canonical(written)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
        raise NotAScorer(file=DOCUMENT_FILE, reason=reason) from error


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    parsed = dict(pairs)
    if len(parsed) != len(pairs):
        raise ValueError("a key is written twice")
    return parsed
