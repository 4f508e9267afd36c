"""The command `monitor` on captures: as answered, labels late, killed anywhere, bad folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from tests.conftest import Workspace
from tests.training.arrivals.served_houses import FIRST, Look, Served, history, of_id, season
from tests.training.arrivals.test_monitor import monitor_run
from tests.training.arrivals.watched_houses import Put, houses
from training import retraining
from training.__main__ import main
from training.arrivals import from_captures, nights
from training.records import monitor_run as run_of
from training.records.watch_run import MonitorRun


def test_days_are_taken_as_they_were_answered_and_labels_a_day_later(served: Served, look: Look) -> None:
    """The whole way: frames, Parquet, joined labels, figures, and nothing new at the second call."""
    season(served, 10)
    code, said = look()
    assert (code, "10 new days" in said, "300 rows of houses 1" in said) == (0, True, True), said
    assert np.mean(history("rmse")) == pytest.approx(20.0, rel=0.15)
    assert history("labelled_share") == [1.0] * 10
    assert history("rows") == [30.0] * 10
    code, said = look()
    assert (code, "0 new days after 2024-07-10" in said) == (0, True), said


def test_outcomes_wait_until_they_have_matured(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that come late count once, with their day, and come to what they would have come to at once."""
    days = [houses(30, "2024-07-01", 1, seed=day) for day in range(4)]
    ids = [served.answers(rows, day) for day, rows in enumerate(days)]
    code, said = look("--mature", "20000d")
    assert (code, "4 new days" in said) == (0, True), said
    assert "labelled_share" not in monitor_run().data.metrics
    for day, rows in enumerate(days):
        served.told(day, of_id(ids[day], rows["price"]), after=3.0)
    code, said = look()
    assert (code, "0 new days" in said) == (0, True), said
    assert history("labelled_share") == [1.0] * 4
    late = history("evidence_errors")
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    assert look()[0] == 0
    assert history("evidence_errors") == late


@dataclass
class Clock:
    """The monitor's clock, and how late it is once captures are Parquet."""

    now: datetime
    after: timedelta = timedelta(0)

    @classmethod
    def of(cls, patch: pytest.MonkeyPatch) -> Clock:
        """In place of the real one."""
        clock, compact = cls(FIRST), nights.archive.compact

        class Now(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return clock.now.astimezone(tz)

        def late(*words: Any) -> None:
            compact(*words)
            clock.now += clock.after

        patch.setattr(nights, "datetime", Now)
        patch.setattr(nights.archive, "compact", late)
        return clock


def test_a_backlog_that_takes_long_closes_no_day_whose_last_file_was_not_taken(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From ten past midnight until twenty to one: what a server closed meanwhile is not Parquet yet."""
    clock = Clock.of(monkeypatch)
    season(served, 1)
    clock.now, clock.after = FIRST + timedelta(days=1, minutes=10), timedelta(minutes=30)
    assert "0 new days" in look()[1]
    clock.now = FIRST + timedelta(days=1, minutes=16)
    assert "1 new days" in look()[1]


def test_labels_have_the_same_grace_as_rows(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A label of two minutes to midnight is in a file that is open at five past."""
    clock = Clock.of(monkeypatch)
    season(served, 1)
    clock.now = FIRST + timedelta(days=2, minutes=10)
    assert look()[0] == 0
    assert "labelled_share" not in monitor_run().data.metrics
    clock.now = FIRST + timedelta(days=2, minutes=16)
    assert look()[0] == 0
    assert history("labelled_share") == [1.0]


def test_labelled_rows_that_differ_from_the_others_are_told(served: Served, look: Look) -> None:
    """Half of the labels, of the cheapest houses: the share, and how far their predictions lie from the others'."""
    rows = houses(40, "2024-07-01", 1, seed=3)
    ids = served.answers(rows, 0)
    cheap = np.argsort(rows["price"].to_numpy())[:20]
    served.told(0, of_id([ids[each] for each in cheap], rows["price"].to_numpy()[cheap]))
    assert look()[0] == 0
    figures = monitor_run().data.metrics
    assert figures["labelled_share"] == 0.5
    assert figures["labelled_prediction_shift"] < -1.0


def test_labels_of_predictions_that_nobody_kept_are_counted(served: Served, look: Look) -> None:
    """After the day has matured: a sampled row, or another server's id."""
    ids = served.answers(houses(5, "2024-07-01", 1, seed=3), 0)
    stranger = ids[0][:30] + "00ffff"
    served.told(0, of_id([ids[0], stranger], [100.0, 1.0]), after=0.1)
    code, said = look()
    assert (code, "1 labels are of predictions that nobody kept" in said) == (0, True), said
    assert monitor_run().data.metrics["labels_unknown"] == 1.0


def test_a_label_of_a_row_that_is_dated_by_its_event_is_known(served: Served, look: Look) -> None:
    """A replay: ids are of today, rows of the day of their event. Counted as nobody's they would be a false fault."""
    rows = houses(5, "2024-07-01", 1, seed=3)
    ids = served.answers(rows, 2, back=2 * 86_400.0)
    served.answers(rows, 2, hour=13)
    served.told(2, of_id(ids, rows["price"]))
    code, said = look()
    assert (code, "2 new days" in said, "nobody kept" in said) == (0, True, False), said
    assert history("labelled_share") == [1.0, 0.0]


def test_rows_that_come_for_days_already_taken_are_counted(served: Served, look: Look) -> None:
    """A replay of a day, and of one that nobody had seen: each row is said once, and none of them is watched."""
    for day in (1, 3):
        served.answers(houses(5, "2024-07-01", 1, seed=3), day)
    assert "came late" not in look()[1]
    served.answers(houses(4, "2024-07-01", 1, seed=4), 1, hour=13)
    served.answers(houses(3, "2024-07-01", 1, seed=5), 2)
    code, said = look()
    assert (code, "7 rows came late for days already taken, and are not counted" in said) == (0, True), said
    assert history("rows_late") == [4.0, 3.0]
    assert "came late" not in look()[1]
    served.answers(houses(2, "2024-07-01", 1, seed=6), 2, hour=13)
    assert "2 rows came late" in look()[1]
    assert history("rows_late") == [4.0, 5.0]
    assert history("rows") == [5.0, 5.0]
    assert "9 rows came late" in page()
    served.answers(houses(5, "2024-07-01", 1, seed=7), 60)
    assert "came late" not in look()[1]
    served.answers(houses(6, "2024-07-01", 1, seed=8), 59)
    assert "6 rows came late" in look()[1], "although older ones are forgotten"


def test_what_is_known_of_late_rows_is_bounded_and_begins_with_what_is_there(
    served: Served, look: Look
) -> None:
    """A state of an older Slipway has no counts: its days are not late as a whole. Old days are forgotten."""
    for day in (0, 1, 40):
        served.answers(houses(5, "2024-07-01", 1, seed=day), day)
    assert look()[0] == 0
    state = run_of("houses").state("1")
    assert state is not None
    assert state["taken"] == {"2024-08-10": 5} | dict.fromkeys(["2024-07-01", "2024-07-02"], 5)
    del state["taken"], state["late"]
    run_of("houses").keep("1", state)
    assert "came late" not in look()[1]
    again = run_of("houses").state("1")
    assert again is not None
    assert again["taken"] == {"2024-08-10": 5}


def test_labels_that_the_contract_forbids_are_left_out(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One price of a billion would be the error of the day."""
    monkeypatch.setattr(from_captures, "limits_of", lambda _: from_captures.OutcomeLimits(0.0, 1_000.0))
    rows = houses(30, "2024-07-01", 1, seed=3)
    prices = rows["price"].to_numpy().copy()
    prices[:2] = 1e9, -5.0
    served.told(0, of_id(served.answers(rows, 0), prices))
    code, said = look()
    assert (code, "2 labels were left out: the contract forbids them" in said) == (0, True), said
    assert monitor_run().data.metrics["labels_forbidden"] == 2.0
    assert monitor_run().data.metrics["rmse"] < 50.0


def test_the_contract_is_the_one_that_the_training_kept(served: Served) -> None:
    """On its run, from any machine: the file that it named may be gone, or be another one by now."""
    assert from_captures.limits_of(served.version) == from_captures.OutcomeLimits()
    contract = "target: price\ncolumns:\n  price: {kind: number, minimum: 0, maximum: 900}\n"
    mlflow.MlflowClient().log_text(served.version.run_id, contract, "contract.yaml")
    assert from_captures.limits_of(served.version) == from_captures.OutcomeLimits(0.0, 900.0)


def test_a_column_that_was_not_kept_is_not_watched(served: Served, look: Look) -> None:
    """Left out, or hashed: the others are, and a column that comes back later stays out, as the watch was begun."""
    area, _, town = served.layout.columns
    hashed = replace(served.layout, columns=(area, town), hashed=("town",))
    for day in range(3):
        served.answers(houses(30, "2024-07-01", 1, seed=day), day, layout=hashed)
    code, said = look()
    assert (code, "not kept as they were sent, so not watched: rooms, town" in said) == (0, True), said
    state = json.loads(mlflow.artifacts.load_text(f"runs:/{monitor_run().info.run_id}/state/version_1.json"))
    assert state["ignored"] == ["gaps", "rooms", "town"]
    served.answers(houses(30, "2024-07-01", 1, seed=9), 3)
    code, said = look()
    assert (code, "1 new days" in said) == (0, True), said


def page() -> str:
    """The monitor's page."""
    return str(mlflow.artifacts.load_text(f"runs:/{monitor_run().info.run_id}/monitor.html"))


def test_without_the_columns_of_a_width_errors_and_coverage_are_said_not_to_be_watched(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows whose callers asked for an interval have a width, and are no sample of all: theirs does not count either."""
    monkeypatch.setattr(from_captures, "_is_adaptive", lambda _: True)
    layout = replace(served.layout, columns=served.layout.columns[:2])
    for day, scale in enumerate((np.nan, 1.0, 1.0)):
        rows = houses(30, "2024-07-01", 1, seed=day)
        served.told(day, of_id(served.answers(rows, day, layout=layout, scale=scale), rows["price"]))
    code, said = look()
    assert (code, "errors cannot alarm: the width of an" in said, "coverage cannot alarm" in said) == (
        0,
        True,
        True,
    )
    assert "Errors: the width of an interval hangs on columns" in page()
    assert "Coverage: the width of an interval hangs on columns" in page()
    figures = monitor_run().data.metrics
    assert {"rmse", "evidence_harm"} <= set(figures)
    assert not {name for name in figures if "coverage" in name or name == "evidence_errors"}
    state = run_of("houses").state("1")
    assert state is not None
    run_of("houses").keep("1", state | {"coverage": [{}] * 4})
    assert look()[0] == 0, "a state from before is taken up"


def test_harm_is_not_watched_where_rows_do_not_say_their_groups(
    tracking: Workspace, put_houses: Put, look: Look
) -> None:
    """A mean of group means is held against a mean of rows: many rows of one bad house would be harm."""
    put_houses(group=True)
    season(Served.of(tracking.folder), 3)
    code, said = look("--independent", "false")
    assert (code, "harm cannot alarm: the rows do not say which of them are alike" in said) == (0, True), said
    assert "Harm: the rows do not say which of them are alike" in page()
    assert "evidence_harm" not in monitor_run().data.metrics
    assert "evidence_inputs" in monitor_run().data.metrics


def test_two_versions_of_one_day_have_rows_of_their_own(served: Served, look: Look) -> None:
    """A swap within a day; and a version of this number from another registry is not this one."""
    rows = houses(30, "2024-07-01", 1, seed=3)
    served.answers(rows, 0)
    served.answers(rows.head(7), 0, hour=13, layout=replace(served.layout, version="2", digest="cd" * 32))
    served.answers(rows.head(5), 0, hour=14, layout=replace(served.layout, digest="ef" * 32))
    code, said = look()
    assert (code, "2024-07-01: 1 files were left out" in said) == (0, True), said
    assert history("rows") == [30.0]


def test_a_broken_sensor_alarms_and_names_its_column(served: Served, look: Look) -> None:
    """Square feet where there were square metres; the predictions are those that were given."""
    for day in range(6):
        served.answers(
            houses(60, "2024-07-01", 1, seed=day).assign(area=lambda each: each["area"] * 10.76), day
        )
    code, said = look()
    assert code == 3, said
    assert "area: " in said


def test_after_a_replacement_no_gauge_says_alarm(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or somebody is woken for a version that nobody is served by any more; the exit code says so, too."""
    for day in range(6):
        served.answers(houses(60, "2024-07-01", 1, seed=day).assign(area=lambda each: each["area"] * 10), day)
    assert look("--metrics", "houses.prom")[0] == 3
    standing = 'slipway_monitor_alarm{kind="inputs",model="houses",version="1"}'
    assert f"{standing} 1.0" in Path("houses.prom").read_text()
    monkeypatch.setattr(retraining, "after", lambda *_, **__: True)
    assert look("--metrics", "houses.prom", "--retrain", "auto")[0] == 0
    assert f"{standing} 0.0" in Path("houses.prom").read_text()


def test_frames_that_were_kept_at_different_shares_are_drawn_from_alike(served: Served, look: Look) -> None:
    """A tenth of the rows in the rush hour, all of them at night: every row of the day has the same chance."""
    served.answers(houses(400, "2024-07-01", 1, seed=3), 0, share=0.1)
    served.answers(houses(1_000, "2024-07-01", 1, seed=4), 0, hour=2)
    code, said = look()
    assert (code, "kept at different shares, so " in said) == (0, True), said
    (rows,) = history("rows")
    assert 400 + 60 < rows < 400 + 140


@pytest.mark.soak
def test_a_monitor_that_dies_anywhere_comes_to_the_same_numbers(
    served: Served, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each call to the store while days are taken: figures, state and alarms are those of one that lived."""
    season(served, 3)
    assert look()[0] == 0
    names = (
        "rows",
        "rmse",
        "evidence_inputs",
        "evidence_errors",
        "evidence_harm",
        "labelled_share",
        "alarms",
    )
    expected = {name: history(name) for name in names}
    state = run_of("houses").state("1")
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    calls = 0
    for step in range(20):
        with monkeypatch.context() as dying:
            done = _dying_at(step, dying)
            code, _ = look()
            calls = done[0]
        if code == 0 and calls <= step:
            break
    assert step >= 5
    assert {name: history(name) for name in names} == expected
    assert run_of("houses").state("1") == state


def _dying_at(step: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Let the call of that number that writes be the last one of this process."""
    done = [0]

    def dying(real: Callable) -> Callable:
        def call(*words: Any, **named: Any) -> Any:
            if done[0] == step:
                raise KeyboardInterrupt
            done[0] += 1
            return real(*words, **named)

        return call

    for name in ("keep", "log_day", "say_alarms", "close"):
        patch.setattr(MonitorRun, name, dying(getattr(MonitorRun, name)))
    return done


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--captures", "kaptures"), "'kaptures' has no folder frames, labels or predictions"),
        (
            ("--captures", "captures", "--data", "x.csv", "--time_column", "day"),
            "pass either captures=DIR or data=",
        ),
        ((), "pass either captures=DIR or data=TABLE with time_column=COLUMN"),
        (("--data", "x.csv"), "data goes with time_column"),
        (("--captures", "captures", "--version", "9"), "has no houses version 9"),
        (("--captures", "captures", "--exclude", "garden"), "has no excluded column 'garden'"),
        (("--captures", "captures", "--mature", "soon"), "'soon' must be days or hours"),
        (("--captures", "captures"), "hold no predictions of houses (they hold: taxi 7)"),
    ],
    ids=["no folder", "both", "neither", "no time", "no version", "no column", "no span", "others"],
)
def test_what_cannot_be_watched_is_one_line_here_too(
    words: tuple[str, ...], said: str, served: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    """With what was found, and code 2."""
    other = replace(served.layout, model="taxi" if "hold" in said else "houses", version="7")
    served.answers(houses(5, "2024-07-01", 1, seed=3), 0, layout=other)
    assert main(["monitor", "--name", "houses", *words]) == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("slipway: ")]
    assert said in line


def test_a_version_of_which_nothing_was_kept_yet_is_a_state_not_a_mistake(served: Served, look: Look) -> None:
    """The night after a promotion."""
    served.answers(houses(5, "2024-07-01", 1, seed=3), 0, layout=replace(served.layout, version="7"))
    code, said = look()
    assert (code, "nothing was captured of houses version 1 yet, but of 7" in said) == (0, True), said
    season(served, 1)
    code, said = look()
    assert (code, "1 new days" in said) == (0, True), said
