"""The command `monitor` on captures: as answered, labels late, killed anywhere, two at once, bad folders."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from data.captures import Frame, FrameLayout, KeptRequest, Places, PredictionId, frame_id, record
from serving.scorer import Scorer
from tests.conftest import Workspace
from tests.training.arrivals.test_monitor import monitor_run
from tests.training.arrivals.watched_houses import NAMES, Put, houses
from training import retraining
from training.__main__ import main
from training.arrivals import from_captures, nights
from training.compiling import pack_frame
from training.errors import MonitorBusy
from training.records import model_registry, tag_names
from training.records import monitor_run as run_of
from training.records.processes import this_process
from training.records.watch_run import MonitorRun

FIRST = datetime(2024, 7, 1, tzinfo=UTC)


@dataclass
class Served:
    """A server that answered houses, each day at noon, as a worker would have kept it."""

    places: Places
    version: model_registry.Version
    layout: FrameLayout
    scorer: Scorer

    @classmethod
    def of(cls, folder: Path) -> Served:
        """Of version 1."""
        version = model_registry.version("houses", "1")
        schema = version.schema
        layout = FrameLayout("houses", "1", version.digest, schema.columns)
        return cls(Places(folder / "captures"), version, layout, Scorer.load(version.scorer_folder))

    def answers(
        self,
        rows: pd.DataFrame,
        day: int,
        *,
        layout: FrameLayout | None = None,
        share: float = 1.0,
        hour: int = 12,
        back: float = 0.0,
        scale: float = np.nan,
    ) -> list[str]:
        """Keep a day's rows, scored by the version; return their ids."""
        layout = layout or self.layout
        matrix = pack_frame(rows[NAMES], self.version.schema)
        moment = FIRST + timedelta(days=day, hours=hour)
        milliseconds = round(moment.timestamp() * 1_000)
        kept = [self.version.schema.names.index(column.name) for column in layout.columns]
        frame = Frame(
            id=frame_id(milliseconds, day * 1_000 + hour * 10 + int(layout.version)),
            model=layout.model,
            version=layout.version,
            digest=layout.digest,
            milliseconds=milliseconds,
            share=share,
            matrix=matrix[:, kept],
            predictions=self.scorer.predict(matrix),
            scale=np.full(len(rows), scale),
            requests=(KeptRequest(0, -back, f"of-{day}"),),
        )
        self._write(
            self.places.frames / f"{day}-{hour}-{layout.version}.frames", record(layout.head()), frame
        )
        return [str(PredictionId(frame.id, row)) for row in range(len(rows))]

    @staticmethod
    def _write(path: Path, head: bytes, frame: Frame) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + record(frame.head(), frame.parts()))

    def told(self, day: int, labels: list[list[Any]], *, after: float = 1.0) -> None:
        """Let labels come so many days after a day."""
        received = FIRST + timedelta(days=day + after, hours=12)
        head = {
            "kind": "labels",
            "received": round(received.timestamp() * 1_000),
            "model": "houses",
            "labels": labels,
        }
        self.places.labels.mkdir(parents=True, exist_ok=True)
        (self.places.labels / f"{day}-{after}.labels").write_bytes(record(head))


def of_id(ids: list[str], actual: Any) -> list[list[Any]]:
    """Labels by id."""
    return [
        [each, None, None, None if value is None else float(value), None]
        for each, value in zip(ids, actual, strict=True)
    ]


Look = Callable[..., tuple[int, str]]


@pytest.fixture
def served(tracking: Workspace, put_houses: Put) -> Served:
    """The registered houses, served."""
    put_houses()
    return Served.of(tracking.folder)


@pytest.fixture
def look(capfd: pytest.CaptureFixture[str]) -> Look:
    """Run the command on the captures; return its exit code and what it said."""

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = main(
            ["monitor", "--name", "houses", "--captures", "captures", "--independent", "true", *words]
        )
        return code, "".join(capfd.readouterr())

    return run


def season(served: Served, days: int, *, labelled: bool = True, seed: int = 1) -> None:
    """Serve some days of 30 houses, and say a day later what they were sold for."""
    for day in range(days):
        rows = houses(30, "2024-07-01", 1, seed=seed * 1_000 + day)
        ids = served.answers(rows, day)
        if labelled:
            served.told(day, of_id(ids, rows["price"]))


def history(name: str) -> list[float]:
    """A figure's values over the days, the last one of each."""
    run = monitor_run().info.run_id
    found = mlflow.MlflowClient().get_metric_history(run, name)
    return [value for _, value in sorted({each.step: each.value for each in found}.items())]


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


def test_of_two_monitors_one_says_so_and_ends_with_2(served: Served, look: Look) -> None:
    """Two would write over each other's state; one that died is taken over."""
    season(served, 2)
    run = run_of("houses")
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with run.alone():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    code, said = look()
    leave.set()
    thread.join()
    assert (code, "another monitor is at work on this model, since " in said) == (2, True), said
    client = mlflow.MlflowClient()
    client.set_tag(run.run_id, tag_names.MONITOR, "2024-07-01T00:00:00+0000 abcd a-boot 1 2 3")
    assert look()[0] == 0
    assert tag_names.MONITOR not in monitor_run().data.tags


def test_of_two_that_begin_at_once_one_stays(served: Served) -> None:
    """Both looked before either had said so."""
    run, ended, left = run_of("houses"), [], threading.Event()

    def begin() -> None:
        try:
            with run.alone():
                ended.append("stayed")
                left.wait(30)  # on a busy machine the other may begin seconds later
        except MonitorBusy:
            ended.append("left")
            left.set()

    both = [threading.Thread(target=begin) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(ended) == ["left", "stayed"]


@pytest.mark.parametrize(
    ("by_another", "error"), [(True, MonitorBusy), (False, mlflow.exceptions.MlflowException)]
)
def test_a_tag_that_the_database_refuses_is_looked_at_again(
    by_another: bool, error: type[Exception], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that write it in one moment the later one failed by an internal error; a full store still fails."""
    run, client, write = run_of("houses"), mlflow.MlflowClient(), mlflow.MlflowClient.set_tag
    other = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S%z} abcd {this_process()}"

    def refused(*_: str) -> None:
        if by_another:
            write(client, run.run_id, tag_names.MONITOR, other)
        raise mlflow.exceptions.MlflowException("UNIQUE constraint failed")

    monkeypatch.setattr(mlflow.MlflowClient, "set_tag", refused)
    with pytest.raises(error), run.alone():
        pass


def test_who_comes_while_another_keeps_is_found_before_anything_is_written_over(served: Served) -> None:
    """On a slow store two may find their tag: the first one ends, and takes the other's tag away from nobody."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    other = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S%z} abcd {this_process()}"

    def begun_twice() -> None:
        with run.alone() as first:
            first.keep("1", {"until": "2024-07-01"})
            client.set_tag(run.run_id, tag_names.MONITOR, other)
            for keep in (lambda: first.keep("1", {}), lambda: first.remember({})):
                with pytest.raises(MonitorBusy):
                    keep()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun_twice()
    assert run.state("1") == {"until": "2024-07-01"}
    assert monitor_run().data.tags[tag_names.MONITOR] == other


def test_a_tag_that_could_not_be_taken_away_stops_no_later_monitor_of_the_same_process(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor that follows would wait for itself for a day, once the store had gone down within a look."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    with monkeypatch.context() as patch, run.alone() as first:
        down = mlflow.exceptions.MlflowException("no connection")
        patch.setattr(MonitorRun, "_let_go", lambda _: (_ for _ in ()).throw(down))
    assert monitor_run().data.tags[tag_names.MONITOR] == first.mine
    with run.alone() as second:
        assert client.get_run(run.run_id).data.tags[tag_names.MONITOR] == second.mine


def test_a_store_that_goes_down_while_a_monitor_begins_stops_no_later_one_of_the_same_process(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tag was written, and it never learned that it was its own: it would wait for itself for a day."""
    run, client, held = run_of("houses"), mlflow.MlflowClient(), MonitorRun._held

    def down_after_the_first(self: MonitorRun) -> str:
        if tag_names.MONITOR in monitor_run().data.tags:
            raise mlflow.exceptions.MlflowException("no connection")
        return held(self)

    with monkeypatch.context() as patch:
        patch.setattr(MonitorRun, "_held", down_after_the_first)
        with pytest.raises(mlflow.exceptions.MlflowException, match="no connection"), run.alone():
            pass
    assert tag_names.MONITOR in monitor_run().data.tags
    with run.alone() as second:
        assert client.get_run(run.run_id).data.tags[tag_names.MONITOR] == second.mine


def test_a_tag_that_went_is_written_again(served: Served) -> None:
    """Another one's end took it, or a person: a third monitor would see nobody."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    with run.alone() as alone:
        client.delete_tag(run.run_id, tag_names.MONITOR)
        alone.keep("1", {})
        assert monitor_run().data.tags[tag_names.MONITOR] == alone.mine
    assert tag_names.MONITOR not in monitor_run().data.tags


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        (lambda run: run.keep("1", {"until": "2024-07-01"}), lambda run: run.state("1")),
        (lambda run: run.remember({"begun": "2024-07-01"}), lambda run: run.memory()),
    ],
    ids=["state", "memory"],
)
@pytest.mark.parametrize("error", [mlflow.exceptions.MlflowException("no connection"), OSError("no route")])
def test_what_is_known_and_cannot_be_read_is_not_a_first_day(
    kept: Callable[[MonitorRun], None],
    read: Callable[[MonitorRun], object],
    error: Exception,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Months of evidence, or a training that was begun, would be written over because a store was down for a second."""
    run = run_of("houses")
    assert not read(run)
    kept(run)
    monkeypatch.setattr(mlflow.artifacts, "load_dict", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        read(run)
    assert run.state("2") is None


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
