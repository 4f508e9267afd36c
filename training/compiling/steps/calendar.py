"""Calendar features of seconds since 1970, by arithmetic that float64 does exactly.

Days become year, month and day by counting from 1 March of year 0 in cycles of 400 years
(Hinnant, "chrono-compatible low-level date algorithms", days_from_civil and back).
"""

from __future__ import annotations

from typing import Any

from training.compiling.errors import UncompilableStep
from training.compiling.features import Dates, Feature, slots
from training.compiling.graph import Graph, Tensor
from training.transformers import CALENDAR, CalendarFeatures

DAY, HOUR, MINUTE = 86400.0, 3600.0, 60.0
DAYS_BEFORE_1970 = 719468.0
"""From 0000-03-01 to 1970-01-01."""


def calendar(step: Any, features: list[Feature], graph: Graph) -> list[Feature]:
    """Return the eight numbers of `CALENDAR` for each datetime column."""
    columns = [feature.column for feature in features if isinstance(feature, Dates)]
    if len(columns) != len(features):
        raise UncompilableStep(step=type(step).__name__, reason="it takes datetime columns only")
    seconds = graph.rows.take(columns)
    parts = _parts(graph, graph.op("Round", seconds * 1e6) / 1e6) | {"days": seconds / DAY}
    by_part: dict[str, list[Feature]] = {name: slots(parts[name], len(columns)) for name in CALENDAR}
    return [by_part[name][index] for index in range(len(columns)) for name in CALENDAR]


def _parts(graph: Graph, seconds: Tensor) -> dict[str, Tensor]:
    day = _floor(graph, seconds / DAY)
    day = graph.where(
        day * DAY > seconds, day - 1.0, day
    )  # the quotient may have been rounded up to a whole day
    of_day = seconds - day * DAY
    hour = _floor(graph, of_day / HOUR)
    count = day + DAYS_BEFORE_1970
    cycle = _floor(graph, count / 146097.0)
    in_cycle = count - cycle * 146097.0
    quarter, century = _floor(graph, in_cycle / 1460.0), _floor(graph, in_cycle / 36524.0)
    last = _floor(graph, in_cycle / 146096.0)
    year = _floor(graph, (in_cycle - quarter + century - last) / 365.0)
    of_year = in_cycle - (year * 365.0 + _floor(graph, year / 4.0) - _floor(graph, year / 100.0))
    from_march = _floor(graph, (of_year * 5.0 + 2.0) / 153.0)
    month = graph.where(from_march < 10.0, from_march + 3.0, from_march - 9.0)
    civil = year + cycle * 400.0 + graph.where(month <= 2.0, 1.0, 0.0)
    january = of_year - graph.where(month <= 2.0, 306.0, -59.0)
    return {
        "year": civil,
        "month": month,
        "day": of_year - _floor(graph, (from_march * 153.0 + 2.0) / 5.0) + 1.0,
        "weekday": (day + 3.0) - _floor(graph, (day + 3.0) / 7.0) * 7.0,
        "day_of_year": january + 1.0 + graph.where(month <= 2.0, 0.0, _leap(graph, year)),
        "hour": hour,
        "minute": _floor(graph, (of_day - hour * HOUR) / MINUTE),
    }


def _leap(graph: Graph, year: Tensor) -> Tensor:
    """Return 1 for years divisible by 4 and not by 100, or by 400."""

    def by(number: float) -> Tensor:
        whole = _floor(graph, year / number) * number
        return graph.where(graph.op("Equal", whole, year), 1.0, 0.0)

    return by(4.0) - by(100.0) + by(400.0)


def _floor(graph: Graph, values: Tensor) -> Tensor:
    return graph.op("Floor", values)


STEPS: dict[type, Any] = {CalendarFeatures: calendar}
