"""A monitor's figures over the days, as pictures: wide and low, with large words, for they are read on phones too.

No word of a user's stands in them: the page says which unit and column is meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.figures import percent
from training.measuring import comparison
from training.pages.drawings.plots import ACCENT, FAINT, INK, canvas

Days = Mapping[str, float]
"""A figure by ISO date."""

ALARM = "#b3261e"
COLORS = (ACCENT, "#c77700", "#6a3d9a", "#1b6e3c", "#43a066", "#82c39a", "#b7dcc4")
"""Of questions, the intervals' in shades of one."""

LEVELS = (ACCENT, "#c77700", "#6a3d9a", "#1b6e3c")
FEWEST_DAYS = 10
"""On an axis: matplotlib gives a single one four years."""

ENDS = (-8.0, 8.0)
"""Evidence beyond is drawn here: below nothing speaks for a change, above all does, and the rest would be flat."""


def evidence(series: Mapping[str, Days], lines: Mapping[str, float]) -> Figure:
    """Draw the evidence of each question and the lowest line at which one alarms."""
    figure, axes = _canvas("Evidence that something changed")
    for color, (name, days) in zip(COLORS, series.items(), strict=False):
        axes.plot(_dates(days), np.clip(_values(days), *ENDS), _mark(days), color=color, label=name)
    for line in sorted({round(each, 6) for each in lines.values()}):
        axes.axhline(line, color=ALARM, linewidth=1, linestyle="--")
    axes.plot([], [], color=ALARM, linewidth=1, linestyle="--", label="alarm")
    axes.set_ylabel("tenfold gains of the bets")
    _finish(axes, chain.from_iterable(series.values()))
    return figure


def errors(
    daily: Days, lately: Sequence[tuple[str, comparison.Interval]], before: comparison.Interval | None
) -> Figure:
    """Draw each day's RMSE, that of the days around it, and what the held-out rows had."""
    figure, axes = _canvas("RMSE")
    axes.plot(_dates(daily), _values(daily), ".", color=ACCENT, alpha=0.35, label="a day")
    sure = [(day, each) for day, each in lately if np.isfinite(each.half)]
    if sure:
        when = _dates(day for day, _ in sure)
        axes.plot(when, [each.value for _, each in sure], color=ACCENT, label="28 days")
        low, high = [each.low for _, each in sure], [each.high for _, each in sure]
        axes.fill_between(when, low, high, color=ACCENT, alpha=0.2, linewidth=0)
    if before is not None:
        axes.axhline(before.value, color=INK, linewidth=1, label="held-out rows")
        if np.isfinite(before.half):
            axes.axhspan(before.low, before.high, color=INK, alpha=0.12, linewidth=0)
    axes.set_ylim(bottom=0.0)
    _finish(axes, daily)
    return figure


def coverage(series: Mapping[float, Days]) -> Figure:
    """Draw the share of outcomes inside the intervals of each level, and what was promised."""
    figure, axes = _canvas("Outcomes inside the intervals, 28 days")
    for color, (level, days) in zip(LEVELS, series.items(), strict=False):
        axes.plot(
            _dates(days), 100.0 * _values(days), _mark(days), color=color, label=percent(level, sign=False)
        )
        axes.axhline(100.0 * level, color=color, linewidth=1, linestyle="--")
    axes.plot([], [], color=INK, linewidth=1, linestyle="--", label="promised")
    axes.set_ylabel("%")
    _finish(axes, chain.from_iterable(series.values()), columns=5)
    return figure


def rows(every: Days, labelled: Days) -> Figure:
    """Draw how many rows each day had, and how many of them with a known outcome."""
    figure, axes = _canvas("Rows a day")
    for days, color, words in ((every, FAINT, "outcome not known"), (labelled, ACCENT, "outcome known")):
        axes.bar(_dates(days), _values(days), width=1.0, color=color, label=words, antialiased=False)
    axes.set_ylim(bottom=0.0)
    _finish(axes, every)
    return figure


def _canvas(title: str) -> tuple[Figure, Axes]:
    figure, axes = canvas(title, height=3.4)
    axes.title.set_fontsize(14)
    axes.tick_params(labelsize=12)
    axes.yaxis.label.set_fontsize(12)
    locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return figure, axes


def _finish(axes: Axes, days: Iterable[str], columns: int = 4) -> None:
    """Put the legend under the picture, where no line is, and let a few days look like a few."""
    axes.legend(frameon=False, fontsize=11, loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns)
    dates = np.sort(_dates(days))
    lacking = FEWEST_DAYS - int((dates[-1] - dates[0]).astype(int))
    if lacking > 0:
        margin = np.timedelta64(lacking // 2 + 1, "D")
        axes.set_xlim(dates[0] - margin, dates[-1] + margin)


def _dates(days: Iterable[str]) -> NDArray[np.datetime64]:
    return np.array(list(days), dtype="datetime64[D]")


def _values(days: Days) -> NDArray[np.float64]:
    return np.array(list(days.values()), dtype=np.float64)


def _mark(days: Days) -> str:
    """Return a line, or a point where there is one day."""
    return "-" if len(days) > 1 else "o"
