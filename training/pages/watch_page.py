"""The monitor's page, `monitor.html`: what is watched, since when, what was found, and what to do next.

Its figures are those of the monitor's run in MLflow, and of the last days in the watch's state. The template holds the
sections and their fixed sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from data.figures import number, percent
from training.measuring import comparison
from training.monitoring import RISK, Moved, Watch, live
from training.pages import rendering, report
from training.pages.drawings import day_plots

Values = Mapping[str, object]
Days = Mapping[str, float]

WINDOW = 28
"""Days that are taken together: four of each weekday."""

MOST_MOVED = 6
"""Views that are shown, those that moved most first."""

LARGE, MOST_SAID = 0.25, 3
"""The stability index beyond which a column moved far, and how many such are said on the command line."""

TOO_FEW = "too few days for an interval"

LEAST_SHOWN = 0.001
"""Of the rows, then or now, for a bin to be shown: nothing was ever beyond what was seen, in most columns."""

QUESTIONS = {
    "inputs": ("inputs", "are columns and predictions like the training rows?"),
    "errors": ("errors", "are the errors like those that the intervals were made from?"),
    "harm": ("harm", "has the mean error risen?"),
}

WHOLE_ROW = {
    "prediction": "the model's prediction",
    "scale": "the width that the model gives its intervals",
    "gaps": "missing or unknown values in a row",
}
"""What the views of a whole row are, for people."""

NOT_KEPT = "the rows do not have it as it was sent"
OF_WHOLE_ROWS = "it hangs on columns that are not there as they were sent"


@dataclass(frozen=True)
class ShownWatch:
    """Everything that the page shows.

    Attributes
    ----------
    unit : str or None
        The target's.
    history : mapping of str to mapping of ISO date to float
        The figures of this version on the monitor's run.
    trained : mapping of str to float
        The figures of the run that made the version.
    steps : sequence of str
        What to do next.
    lacking : sequence of str
        What cannot be watched, for the rows do not have it.
    unasked : mapping of str to str
        The kinds of alarms that these rows cannot raise, and why.
    """

    name: str
    number: str
    unit: str | None
    watch: Watch
    history: Mapping[str, Days]
    trained: Mapping[str, float]
    steps: Sequence[str]
    lacking: Sequence[str] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)

    def days(self, name: str) -> Days:
        """Return a figure by day; nothing where it never was."""
        return self.history.get(name, {})

    @property
    def holdout(self) -> comparison.Interval | None:
        """The RMSE on the held-out rows, where the version's run has it."""
        value, low, high = (self.trained.get(f"holdout_rmse{end}") for end in ("", "_low", "_high"))
        if value is None:
            return None
        return comparison.Interval(value, -np.inf if low is None else low, np.inf if high is None else high)

    @property
    def taken(self) -> list[str]:
        """The days, oldest first."""
        return list(self.days("rows"))

    @cached_property
    def labelled(self) -> Days:
        """How many rows of each day have a known outcome."""
        shares = self.days("labelled_share")
        return {day: round(rows * shares.get(day, 0.0)) for day, rows in self.days("rows").items()}


def page(watched: ShownWatch) -> str:
    """Return the page."""
    kinds = [alarm.kind for alarm in watched.watch.alarms]
    state = f"alarm ({', '.join(kinds)})" if kinds else "no alarm"
    values = {name: values_of(watched) for name, values_of in SECTIONS.items()}
    title = f"{watched.name} version {watched.number}: {state}"
    return rendering.page(
        "monitor.html", title=title, unit=watched.unit, risk=percent(RISK, sign=False), **values
    )


def _state(watched: ShownWatch) -> Values:
    labelled, rows = sum(watched.labelled.values()), sum(watched.days("rows").values())
    return {
        "since": watched.taken[0] if watched.taken else "",
        "until": watched.taken[-1] if watched.taken else "",
        "outcomes_until": watched.watch.outcomes_until,
        "days": f"{len(watched.taken):,}",
        "rows": f"{rows:,.0f}",
        "labelled": percent(labelled / rows, sign=False) if rows else "",
        "alarms": watched.watch.alarms,
        "steps": watched.steps,
    }


def _evidence(watched: ShownWatch) -> Values:
    lines = {name: line for name, line in watched.watch.lines.items() if watched.days(name)}
    drawn = {_question(name)[0]: watched.days(name) for name in lines}
    plot = {"evidence over time": day_plots.evidence(drawn, lines)} if lines else {}
    return {
        "questions": [_asked(watched, name, line) for name, line in lines.items()],
        "pictures": rendering.pictures(plot, plot),
    }


def _asked(watched: ShownWatch, name: str, line: float) -> Values:
    title, question = _question(name)
    values = list(watched.days(name).values())
    return {
        "title": title,
        "question": question,
        "now": _evidence_in_words(values[-1]),
        "highest": _evidence_in_words(max(values)),
        "line": number(line, 2),
    }


def _evidence_in_words(value: float) -> str:
    lowest, _ = day_plots.ENDS
    return number(round(value, 2), 3) if value >= lowest else f"below {number(lowest, 3)}"


def _question(name: str) -> tuple[str, str]:
    asked = name.removeprefix("evidence_")
    if asked in QUESTIONS:
        return QUESTIONS[asked]
    level = asked.removeprefix("coverage_")
    return f"intervals {level} %", f"do they still hold {level} % of the outcomes?"


def _errors(watched: ShownWatch) -> Values:
    daily = {day: value for day, value in watched.days("rmse").items() if watched.labelled.get(day)}
    lately = [(day, _error_until(watched, daily, index)) for index, day in enumerate(daily, start=1)]
    plot = {"RMSE over time": day_plots.errors(daily, lately, watched.holdout)} if daily else {}
    return {
        "lately": _error(lately[-1][1]) if lately else "",
        "days": _days(min(WINDOW, len(daily))),
        "holdout": report.interval(watched.holdout) if watched.holdout else "",
        "pictures": rendering.pictures(plot, plot),
    }


def _error_until(watched: ShownWatch, daily: Days, place: int) -> comparison.Interval:
    days = list(daily)[max(place - WINDOW, 0) : place]
    return live.pooled_error(
        np.array([daily[day] for day in days]), np.array([watched.labelled[day] for day in days], dtype=float)
    )


def _coverage(watched: ShownWatch) -> Values:
    result = {level.coverage: _held(watched, level.coverage) for level in watched.watch.reference.levels}
    result = {level: held for level, held in result.items() if held}
    drawn = {level: {day: each.value for day, each in held.items()} for level, held in result.items()}
    plot = {"coverage over time": day_plots.coverage(drawn)} if drawn else {}
    return {
        "levels": [
            {"promised": percent(level, sign=False), "lately": _share(list(held.values())[-1])}
            for level, held in result.items()
        ],
        "pictures": rendering.pictures(plot, plot),
    }


def _held(watched: ShownWatch, level: float) -> dict[str, comparison.Interval]:
    """Return the share of outcomes inside the intervals of a level, of the days up to each day."""
    daily = watched.days(f"interval_coverage_{round(100 * level)}")
    known = [day for day in daily if watched.labelled.get(day)]
    windows = {day: known[max(index - WINDOW, 0) : index] for index, day in enumerate(known, start=1)}
    return {
        day: live.pooled_share(
            np.array([daily[each] for each in days]),
            np.array([watched.labelled[each] for each in days], dtype=float),
        )
        for day, days in windows.items()
    }


def _error(found: comparison.Interval) -> str:
    return report.interval(found) if np.isfinite(found.half) else f"{number(found.value)} ({TOO_FEW})"


def _days(count: int) -> str:
    return "day" if count == 1 else f"{count} days"


def _share(found: comparison.Interval) -> str:
    value = f"{100.0 * found.value:.1f} %"
    if not np.isfinite(found.half):
        return f"{value} ({TOO_FEW})"
    low, high = max(found.low, 0.0), min(found.high, 1.0)
    return f"{100.0 * found.value:.1f} [{100.0 * low:.1f}, {100.0 * high:.1f}] %"


def _rows(watched: ShownWatch) -> Values:
    plot = {}
    if watched.taken:
        plot["rows a day"] = day_plots.rows(watched.days("rows"), watched.labelled)
    shifts = list(watched.days("labelled_prediction_shift").values())[-WINDOW:]
    return {
        "pictures": rendering.pictures(plot, plot),
        "unknown": f"{sum(watched.days('labels_unknown').values()):,.0f}",
        "late": f"{sum(watched.days('rows_late').values()):,.0f}",
        "forbidden": f"{sum(watched.days('labels_forbidden').values()):,.0f}",
        "shift": number(float(np.mean(shifts)), 2) if shifts else "",
    }


def _moved(watched: ShownWatch) -> Values:
    moved = watched.watch.lately.moved()
    return {
        "days": len(watched.watch.lately.days),
        "views": [_view(each, watched.watch) for each in moved[:MOST_MOVED]],
        "others": max(len(moved) - MOST_MOVED, 0),
    }


def moved_in_words(watched: ShownWatch) -> str:
    """Say which columns moved far on the last days and how much they count; nothing where that is not known."""
    said = [
        f"{each.name} (PSI {number(each.stability, 2)}), {counted.in_words(watched.unit)}"
        for each in watched.watch.lately.moved()
        if each.stability > LARGE and (counted := watched.watch.counts.lately(each.name))
    ]
    others = f"; {len(said) - MOST_SAID} more" if len(said) > MOST_SAID else ""
    return "; ".join(said[:MOST_SAID]) + others


def _view(found: Moved, watch: Watch) -> Values:
    counted = watch.counts.lately(found.name)
    top = max(found.before.max(), found.after.max())
    bins = zip(found.labels, found.before, found.after, strict=True)
    return {
        "name": found.name,
        "what": WHOLE_ROW.get(found.name, ""),
        "stability": number(found.stability, 2),
        "rows": f"{found.rows:,}",
        "counted": counted.in_words(watch.unit) if counted else "",
        "bins": [
            {
                "label": label,
                "before": percent(float(before), sign=False),
                "after": percent(float(after), sign=False),
                "before_width": f"{100.0 * before / top:.1f}",
                "after_width": f"{100.0 * after / top:.1f}",
            }
            for label, before, after in bins
            if max(before, after) >= LEAST_SHOWN
        ],
    }


def _unwatched(watched: ShownWatch) -> Values:
    reference = watched.watch.reference
    return {
        "ignored": [name for name in watched.watch.ignored if name not in watched.lacking],
        "lacking": {name: OF_WHOLE_ROWS if name in WHOLE_ROW else NOT_KEPT for name in watched.lacking},
        "unasked": watched.unasked,
        "no_scores": reference.scores is None and "errors" not in watched.unasked,
        "no_limit": reference.limit is None and "harm" not in watched.unasked,
        "no_outcomes": bool(watched.taken) and not any(watched.labelled.values()),
        "one_a_day": not watched.watch.independent,
    }


SECTIONS: Mapping[str, Callable[[ShownWatch], Values]] = {
    "state": _state,
    "evidence": _evidence,
    "errors": _errors,
    "coverage": _coverage,
    "rows": _rows,
    "moved": _moved,
    "unwatched": _unwatched,
}
