"""Can what stands in scorer.json be true? Asked at each load, before anything is made of it.

The digest and the promotion say whose file it is. This says that the golden rows prove something, that the table
of intervals is one, and that each text is a text: a document that Slipway wrote always passes. The same rules,
as far as they can be said there, stand in docs/scorer.schema.json.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

MOST_GOLDEN_ROWS = 100
MOST_COVERAGES = 1_000
MOST_VERSIONS = 100

WIDEST_SPREAD = 1e8
"""Standard deviation of the target per largest number that the golden rows and the table show. Beyond it a
prediction would pass that is wrong by a tenth. A target with an outlier in a thousand rows that is 1e9 times as
large as the others stays below."""


def check_written(written: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError where a document holds what Slipway does not write."""
    _check_golden(written["golden"])
    _check_table(written["intervals"])
    _check_parity(written["parity"], _largest_shown(written))
    _check_columns(written["schema"]["columns"])
    _check_texts("versions", written["versions"])
    if not re.fullmatch(r"|[0-9a-f]{64}", written.get("explain", "")):
        raise ValueError("explain is no SHA-256")
    for name, text in (
        ("fingerprint", written["fingerprint"]),
        ("target", written["schema"]["target"]["name"]),
    ):
        if not isinstance(text, str):
            raise TypeError(f"{name} is no text")


def _check_golden(golden: Any) -> None:
    if not isinstance(golden, list) or not 1 <= len(golden) <= MOST_GOLDEN_ROWS:
        count = len(golden) if isinstance(golden, list) else "none"
        raise ValueError(f"has {count} golden rows, must have 1 to {MOST_GOLDEN_ROWS}")
    _numbers("golden", [case["prediction"] for case in golden], low=-math.inf)
    if any(
        scale <= 0.0 for scale in _numbers("scale", [case["scale"] for case in golden if "scale" in case])
    ):
        raise ValueError("has a golden row whose scale is not above 0")


def _check_table(table: Any) -> None:
    if table is None:
        return
    coverage, quantile = table["coverage"], table["quantile"]
    if not 1 <= len(coverage) <= MOST_COVERAGES or len(coverage) != len(quantile):
        raise ValueError(
            f"has {len(coverage)} coverages, must have 1 to {MOST_COVERAGES}, each with its quantile"
        )
    if max(_numbers("coverage", coverage)) >= 1.0:
        raise ValueError("has a coverage of 1 or more")
    _numbers("quantile", quantile)
    if min(_numbers("intervals.rows", [table["rows"]])) < 1:
        raise ValueError("has intervals from no rows")
    if not isinstance(table["adaptive"], bool) or not isinstance(table["method"], str):
        raise TypeError("has intervals whose method is no text, or whose adaptive is neither true nor false")


def _check_parity(parity: Mapping[str, Any], shown: float) -> None:
    _numbers("parity", parity.values())
    if parity.get("tolerance", 0.0) > 1e-5:
        raise ValueError(f"parity.tolerance is {parity['tolerance']}, must be at most 1e-05")
    if parity["target_sd"] > WIDEST_SPREAD * max(shown, 1.0):
        raise ValueError(
            f"parity.target_sd is {parity['target_sd']:g}, too large for predictions of up to {shown:g}"
        )


def _largest_shown(written: Mapping[str, Any]) -> float:
    golden, table = written["golden"], written["intervals"]
    widest = max((case.get("scale", 1.0) for case in golden), default=1.0) * (
        table["quantile"][-1] if table else 0.0
    )
    return float(max(widest, *(abs(case["prediction"]) for case in golden)))


def _check_columns(columns: Any) -> None:
    names = [column["name"] for column in columns]
    if not names or len(set(names)) != len(names):
        raise ValueError("has no columns, or two of one name")
    for column in columns:
        texts = [column["name"], *column.get("categories", ()), *filter(None, [column.get("unit")])]
        if not all(isinstance(text, str) for text in texts) or not isinstance(column["missing"], bool):
            raise TypeError(f"column {column['name']!r} has a name, category or unit that is no text")
        if len(set(column.get("categories", ()))) != len(column.get("categories", ())):
            raise ValueError(f"column {column['name']!r} has a category twice")
        bounds = [column[key] for key in ("minimum", "maximum") if column.get(key) is not None]
        _numbers(column["name"], [*bounds, *column.get("quantiles", {}).values()], low=-math.inf)


def _check_texts(name: str, texts: Any) -> None:
    if not isinstance(texts, dict) or len(texts) > MOST_VERSIONS:
        raise TypeError(f"{name} is no list of at most {MOST_VERSIONS} texts by name")
    for key, text in texts.items():
        if not isinstance(text, str):
            raise TypeError(f"{name}.{key} is no text")


def _numbers(name: str, values: Iterable[Any], *, low: float = 0.0) -> list[float]:
    """Return numbers that are finite and not below the lowest; raises ValueError or TypeError."""
    numbers = list(values)
    for value in numbers:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} holds {str(value)[:50]!r}, which is no number")
        if not low <= value <= sys.float_info.max:
            raise ValueError(
                f"{name} holds {str(value)[:20]}, must be {'0 or more and ' if low == 0.0 else ''}finite"
            )
    return numbers
