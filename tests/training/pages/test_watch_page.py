"""The monitor's page says what its run's metrics say, whatever columns are called and however little is known."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from data.figures import number
from tests.training.monitoring.test_watching import actual, answers, made, rows
from tests.training.pages.read_pages import HOSTILE, Reader
from training.monitoring import Reference, Watch
from training.pages import watch_page

TRAINED = {"holdout_rmse": 1.75, "holdout_rmse_low": 1.5, "holdout_rmse_high": 2.0}


def watched(
    days: int, reference: Reference | None = None, *, labelled: float = 1.0, alike: bool = True
) -> watch_page.ShownWatch:
    """A watch over some days of 60 rows, with what its run would have."""
    random, watch = np.random.default_rng(3), Watch(reference or made(), seed=0, independent=True)
    history: dict[str, dict[str, float]] = {}
    for day in range(days):
        on = (date(2025, 1, 1) + timedelta(days=day)).isoformat()
        matrix = rows(60, random) + (0.0 if alike else np.array([5.0, 0.0, 0.0, 0.0]))
        truth = np.where(random.random(60) < labelled, actual(matrix, random), np.nan)
        for name, value in watch.see(on, matrix, answers(matrix), truth).figures.items():
            history.setdefault(name, {})[on] = value
    return watch_page.ShownWatch("houses", "3", "EUR", watch, history, TRAINED, ["look at the columns above"])


def read(found: watch_page.ShownWatch) -> str:
    """The page's words, with single spaces."""
    text = Reader(re.sub(r"(?s)<style>.*?</style>", "", watch_page.page(found)).replace("<t", " <t")).text
    return " ".join(text.split())


def test_its_figures_are_those_of_the_run() -> None:
    """Evidence now and at its highest, rows, days, errors and coverage: one truth in two places."""
    found = watched(20, labelled=0.5)
    text = read(found)
    assert "houses version 3: no alarm" in text
    known = sum(round(60 * share) for share in found.history["labelled_share"].values())
    whole = f"20 days, 1,200 rows, the outcome of {100 * known / 1200:.0f} % of them known"
    assert f"Watched since 2025-01-01 until 2025-01-20: {whole}" in text
    for name in ("inputs", "errors", "harm", "coverage_90"):
        values = list(found.history[f"evidence_{name}"].values())
        now, most = (number(round(value, 2), 3) for value in (values[-1], max(values)))
        assert re.search(rf"\? {re.escape(now)} {re.escape(most)} ", text), (name, now, most)
    squares = sum(
        round(60 * found.history["labelled_share"][day]) * value**2
        for day, value in found.history["rmse"].items()
    )
    assert f"the last 20 days with outcomes {np.sqrt(squares / known):.3f} [" in text
    assert "held out when the version was made 1.750 [1.500, 2.000]" in text
    held = found.history["interval_coverage_90"]
    share = (
        sum(value * round(60 * found.history["labelled_share"][day]) for day, value in held.items()) / known
    )
    assert f"90 % {100 * share:.1f} [" in text


def test_an_alarm_stands_in_its_title_with_what_moved_and_what_helps() -> None:
    """A person sees it in the tab, then why, then what to do."""
    text = read(watched(5, alike=False))
    assert "houses version 3: alarm (inputs" in text
    assert "size: " in text
    assert "at most 1 %, however often one looks" in text
    assert "look at the columns above" in text
    moved = text[text.index("What moved most") :]
    assert moved.index(" size ") < moved.index(" rooms ") if " rooms " in moved else " size " in moved


@pytest.mark.parametrize("name", [HOSTILE, "x" * 200, "面积平方米" * 9, "", "$a$ $\\frac{"])
def test_a_column_and_its_categories_may_be_called_anything(name: str) -> None:
    """They stay text, are shown whole, and no picture is drawn with them."""
    reference = made()
    columns = tuple(
        replace(each, name=f"{index} {name}", labels=tuple(f"{label} {name}" for label in each.labels))
        for index, each in enumerate(reference.columns)
    )
    places = {f"{2} {name}": places for places in reference.places.values()}
    page = Reader(
        watch_page.page(watched(3, replace(reference, columns=columns, places=places), alike=False))
    )
    assert page.text.count(f"0 {name}") >= 2
    assert f"m {name}" in page.text
    assert not {"script", "b"} & set(page.tags)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)


def test_without_outcomes_no_error_is_shown_and_the_page_says_so() -> None:
    """No label is no error of zero."""
    text = read(watched(4, labelled=0.0))
    assert "the outcome of 0 % of them known" in text
    assert "Errors, harm and intervals: no outcome is known yet." in text
    assert "RMSE" not in text


def test_a_version_without_intervals_is_watched_for_the_rest() -> None:
    """Weighted rows have no exact ranks."""
    text = read(watched(8, replace(made(), scores=None, levels=())))
    assert "Errors and intervals: the version has no intervals, or its rows are weighted." in text
    assert "RMSE" in text
    assert "promised" not in text


def test_one_day_is_a_page_and_says_that_it_is_too_little_for_an_interval() -> None:
    """The first night."""
    text = read(watched(1))
    assert "1 day, 60 rows" in text
    assert "the last day with outcomes" in text
    assert text.count("too few days for an interval") == 5


def test_before_the_first_day_there_is_a_page_too() -> None:
    """All rows of the table may be of today."""
    text = read(watched(0))
    assert "No day was taken yet" in text


def test_years_fit_into_one_page_of_the_same_size() -> None:
    """MLflow's viewer loads it whole: 400 days make no more of it than a month."""
    few = watched(2)
    days = [(date(2025, 1, 1) + timedelta(days=day)).isoformat() for day in range(400)]
    values = {name: list(found.values())[-1] for name, found in few.history.items()}
    years = {name: dict.fromkeys(days, value) for name, value in values.items()}
    page = watch_page.page(replace(few, history=years))
    assert "Watched since 2025-01-01 until 2026-02-04: 400 days" in page
    assert "24,000 rows" in page
    assert len(page) < 600_000


def test_a_version_whose_run_has_no_holdout_says_not_known() -> None:
    """Fresh intervals of an older model are a run without one."""
    assert "held out when the version was made not known" in read(replace(watched(6), trained={}))


def test_what_was_not_kept_is_told_from_what_was_excluded() -> None:
    """One is a person's wish, the other may be a mistake."""
    found = watched(2)
    watch = Watch(found.watch.reference, 0, True, ("rooms", "town"))
    text = read(replace(found, watch=watch, lacking=("town", "gaps")))
    assert "rooms: excluded, as asked." in text
    assert "town: the rows do not have it as it was sent." in text
    assert "gaps: it hangs on columns that are not there as they were sent." in text
    assert "town: excluded" not in text


def test_what_became_of_labels_is_said() -> None:
    """Outcomes that come late, for unknown predictions, or for rows of a kind of their own."""
    found = watched(5, labelled=0.5)
    found.watch.outcomes_until = "2025-01-03"
    more = {
        "labels_unknown": {"2025-01-01": 1_200.0},
        "labels_forbidden": {"2025-01-01": 0.0},
        "rows_late": {"2025-01-02": 7.0},
    }
    shifts = {"labelled_prediction_shift": {"2025-01-01": 0.5, "2025-01-02": 0.9}}
    text = read(replace(found, history={**found.history, **more, **shifts}))
    assert "Outcomes are watched until 2025-01-03; those of later days are still waited for." in text
    assert "1,200 outcomes came for predictions that nobody kept." in text
    assert "forbids" not in text
    assert "7 rows came late, for days that were taken already" in text
    assert "predictions are 0.7 standard deviations above those of the other rows" in text
