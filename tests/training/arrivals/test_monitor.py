"""The command `monitor`, in a real store: days as they come, alarms, what cannot be watched, bad tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule, split_table
from data.tables import Table, seconds
from tests.conftest import Workspace
from tests.training.arrivals.watched_houses import KINDS, NAMES, Put, houses
from training.__main__ import main
from training.challenger import making
from training.commands import parse, trainings
from training.records import model_registry, tag_names
from training.rows import arrange
from training.rows.known.kept_split import asked_rule
from training.versions import flavor

INDEPENDENT = ("--independent", "true")


Watch = Callable[..., tuple[int, str]]


@pytest.fixture
def watch(tracking: Workspace, capfd: pytest.CaptureFixture[str]) -> Watch:
    """Run the command on a table; return its exit code and what it said."""

    def run(frame: pd.DataFrame, *words: str) -> tuple[int, str]:
        frame.to_csv("later.csv", index=False)
        capfd.readouterr()
        code = main(
            [
                "monitor",
                "--name",
                "houses",
                "--data",
                "later.csv",
                "--time_column",
                "sold",
                *INDEPENDENT,
                *words,
            ]
        )
        return code, "".join(capfd.readouterr())

    return run


@pytest.fixture
def version(put_houses: Put) -> None:
    """The registered houses, which can be watched."""
    put_houses()


def monitor_run() -> mlflow.entities.Run:
    """The one run of the monitor."""
    experiment = mlflow.MlflowClient().get_experiment_by_name("slipway monitor: houses")
    (run,) = mlflow.MlflowClient().search_runs([experiment.experiment_id])
    return run


@pytest.mark.usefixtures("version")
def test_days_are_taken_once_and_the_next_call_goes_on(watch: Watch) -> None:
    """What the monitor knows is on its run, not on this machine."""
    july = houses(900, "2024-07-01", 30, seed=1)
    code, said = watch(july)
    assert (code, "30 new days" in said, "no alarm stands" in said) == (0, True, True), said
    code, said = watch(july)
    assert (code, "0 new days after 2024-07-30" in said) == (0, True), said
    run = monitor_run()
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "rmse")
    assert len(history) == 30
    assert np.mean([each.value for each in history]) == pytest.approx(20.0, rel=0.1)
    assert run.data.tags[tag_names.ALARM] == "none"
    assert f"/runs/{run.info.run_id}/model-metrics?workflowType=machine_learning" in said


@pytest.mark.usefixtures("version")
def test_the_page_is_on_the_run_and_the_line_leads_to_it(watch: Watch) -> None:
    """What it shows is what the run has, of all calls together."""
    watch(houses(300, "2024-07-01", 10, seed=1))
    _, said = watch(houses(300, "2024-07-11", 10, seed=2))
    run = monitor_run()
    assert f"/runs/{run.info.run_id}/artifacts/monitor.html" in said
    page = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/monitor.html")
    assert "houses version 1: no alarm" in page
    assert "since 2024-07-01 until 2024-07-20: 20 days" in page


@pytest.mark.usefixtures("version")
def test_prometheus_gets_the_latest_figures_of_the_run(watch: Watch, tracking: Workspace) -> None:
    """Of the last day, from MLflow: a call without new days writes the same file again."""
    july, file = houses(300, "2024-07-01", 10, seed=1), tracking.folder / "houses.prom"
    assert watch(july, "--metrics", str(file))[0] == 0
    text, metrics = file.read_text(), monitor_run().data.metrics
    assert f'slipway_monitor_rmse{{model="houses",version="1"}} {metrics["rmse"]!r}' in text
    assert 'slipway_monitor_alarm{kind="inputs",model="houses",version="1"} 0.0' in text
    file.unlink()
    assert watch(july, "--metrics", str(file))[0] == 0
    assert file.read_text() == text


@pytest.mark.usefixtures("version")
def test_a_place_where_no_file_can_be_is_said_before_the_work(watch: Watch) -> None:
    """Not after a night's days were taken."""
    july = houses(60, "2024-07-01", 2, seed=1)
    code, said = watch(july, "--metrics", "nowhere/houses.prom")
    assert code == 2
    assert "metrics: nowhere/houses.prom cannot be written: there is no folder nowhere" in said
    code, said = watch(july, "--metrics", "houses.txt")
    assert code == 2
    assert "'houses.txt' must be a file that ends in .prom" in said


@pytest.mark.usefixtures("version")
def test_two_versions_that_were_watched_on_the_same_days_keep_their_figures_apart(watch: Watch) -> None:
    """A new champion is watched on a table from the first day on; its page is not that of the old one."""
    from training.records import monitor_run as run_of

    july = houses(300, "2024-07-01", 10, seed=1)
    watch(july)
    run, first = run_of("houses"), run_of("houses").history("1")
    run.log_day("2", "2024-07-01", {"rmse": 99.0})
    assert run.history("1") == first
    assert run.history("2") == {"rmse": {"2024-07-01": 99.0}}


@pytest.mark.usefixtures("version")
def test_a_watch_is_gone_on_with_as_it_was_begun(watch: Watch) -> None:
    """Evidence of other columns, or of other rows of a day, cannot be added up."""
    july = houses(60, "2024-07-01", 3, seed=1)
    assert watch(july, "--exclude", "town")[0] == 0
    code, said = watch(july)
    assert code == 2
    assert "pass exclude, independent and tolerance as at first" in said


def test_the_groups_of_a_version_are_those_of_its_days(put_houses: Put, watch: Watch) -> None:
    """Thirty rows of one street are one: without the column a day has one row, and many cannot be asked for."""
    put_houses(group=True)
    july = houses(900, "2024-07-01", 30, seed=1)
    code, said = watch(july)
    assert code == 2
    assert "has no column 'street', whose groups houses version 1 was split by" in said
    code, said = watch(july, "--independent", "false")
    assert (code, "harm cannot alarm: the rows do not say which of them are alike" in said) == (0, True), said
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    same = (
        july.drop(columns="price").head(60).assign(area=190.0)
    )  # two days, each of one street, whose houses are all alike
    assert watch(same.assign(street=7.0))[0] == 0
    mlflow.MlflowClient().delete_run(monitor_run().info.run_id)
    assert watch(same.assign(street=np.arange(60.0)))[0] == 3


def test_the_rows_of_a_reference_are_grouped_as_the_split_says() -> None:
    """By the user's group or key; rows that were split one by one, by time or by a column stand for themselves."""
    frame = pd.DataFrame({"street": np.repeat(np.arange(60.0), 5), "area": np.arange(300.0)})
    table = Table("houses", frame, {"street": "number", "area": "number"})
    rules = {
        "group": SplitRule("group", ("street",)),
        "key": SplitRule("hash", ("street",), keyed=True),
        "unique key": SplitRule("hash", ("area",), keyed=True),
        "rows": SplitRule("hash", ("street", "area")),
        "time": SplitRule("time", ("area",)),
    }
    found = {}
    for name, rule in rules.items():
        split = split_table(table, rule)
        finite = np.arange(split.counts["holdout"]) > 0
        groups = making.groups_of(split, finite, split.blocks[split.mask("calibration")])
        found[name] = groups and (groups.columns, len(groups.training) == split.counts["train"])
        assert groups is None or len(groups.absolute) == split.counts["holdout"] - 1
    assert found == {
        "group": (("street",), True),
        "key": (("street",), True),
        "unique key": None,
        "rows": None,
        "time": None,
    }


def test_a_training_that_names_a_time_column_knows_when_its_rows_were() -> None:
    """Each side's in the order in which the reference has its rows."""
    frame = houses(400, "2024-01-01", 90, seed=0)
    table = Table("houses", frame, KINDS)
    split = split_table(table, SplitRule("time", ("sold",)))
    assert split.moments is not None
    finite = np.arange(split.counts["holdout"]) > 0
    scores = split.moments[split.mask("calibration")]
    found = making.moments_of(split, split.moments, finite, scores)
    assert found is not None
    assert found.training.max() <= found.held_out.min()
    assert len(found.held_out) == split.counts["calibration"] + split.counts["holdout"]
    assert len(found.absolute) == split.counts["holdout"] - 1
    assert found.scores is scores
    assert making.moments_of(split, None, finite, scores) is None


@pytest.mark.parametrize("split", ["hash", "group", "repeat", "time"])
def test_any_split_knows_its_days_where_a_column_says_them(split: str) -> None:
    """Else rows of thirty days of weather are compared as if each stood for itself. The column is no feature."""
    frame = houses(400, "2024-01-01", 90, seed=0)
    table = Table("houses", frame, KINDS)
    column = ["--group_column", "town"] if split == "group" else []
    words = ["train", "--data", "houses.csv", "--target", "price", "--split", split, "--time_column", "sold"]
    config = parse([*words, *column])
    assert isinstance(config, trainings.TrainConfig)
    rows = arrange(table, asked_rule(config, table), config, lambda *_: None)
    np.testing.assert_array_equal(rows.moments, seconds(frame["sold"]))
    assert "sold" not in rows.schema.names
    plain = parse(["train", "--data", "houses.csv", "--target", "price", "--exclude", "sold"])
    assert isinstance(plain, trainings.TrainConfig)
    assert arrange(table, asked_rule(plain, table), plain, lambda *_: None).moments is None


def test_numbers_that_a_split_by_time_goes_by_are_no_days() -> None:
    """A year, or a count of hours: as seconds since 1970 they would all be of one day, and one row would be left."""
    frame = houses(400, "2024-01-01", 90, seed=0).drop(columns="sold").assign(year=np.arange(400.0))
    table = Table("houses", frame, {"year": "number", **{name: KINDS[name] for name in (*NAMES, "price")}})
    config = parse(
        ["train", "--data", "h.csv", "--target", "price", "--split", "time", "--time_column", "year"]
    )
    assert isinstance(config, trainings.TrainConfig)
    assert arrange(table, asked_rule(config, table), config, lambda *_: None).moments is None


@pytest.mark.usefixtures("version")
def test_a_day_that_is_not_over_waits(watch: Watch) -> None:
    """Its other rows would never be taken."""
    now = pd.Timestamp.now(tz="UTC").strftime("%Y-%m-%dT%H:%M:%S")
    code, said = watch(houses(60, "2024-07-01", 3, seed=1).assign(sold=now))
    assert (code, "0 new days" in said) == (0, True)


@pytest.mark.usefixtures("version")
def test_an_alarm_stands_with_its_cause_and_an_exit_code_of_its_own(watch: Watch) -> None:
    """Cron and CI act on the code, people on the sentence: square feet where there were square metres."""
    changed = houses(900, "2024-07-01", 30, seed=1).assign(area=lambda frame: frame["area"] * 10.76)
    code, said = watch(changed)
    assert code == 3
    assert "inputs since 2024-07-01: " in said
    assert "area: " in said
    assert re.search(r"area: .* it matters: it adds [\d,]+ to a prediction on average, 80 before", said), said
    assert re.search(r"moved +area \(PSI [\d.]+\), it matters: it adds [\d,]+ to", said), said
    assert "at most 1 %" in said
    page = mlflow.artifacts.load_text(f"runs:/{monitor_run().info.run_id}/monitor.html")
    assert re.search(r"PSI [\d.]+, [\d,]+ rows; it matters: it adds [\d,]+ to", page)
    assert monitor_run().data.tags[tag_names.ALARM].startswith("inputs since 2024-07-0")
    code, said = watch(houses(300, "2024-08-01", 10, seed=2))
    assert (code, "alarms" in said) == (3, True), "an alarm stands until a new version takes its place"


@pytest.mark.usefixtures("version")
def test_rows_without_outcomes_are_watched_too(watch: Watch) -> None:
    """Labels come late, or never."""
    code, said = watch(houses(300, "2024-07-01", 10, seed=1).drop(columns="price"))
    assert code == 0, said
    assert monitor_run().data.metrics["labelled_share"] == 0.0


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    ("mend", "words", "said"),
    [
        (lambda frame: frame.drop(columns="sold"), (), "has no time column 'sold'"),
        (lambda frame: frame.assign(sold=7), (), "'sold'"),
        (lambda frame: frame.assign(sold=frame["sold"].where(frame.index != 2)), (), "is missing"),
        (lambda frame: frame.drop(columns="rooms"), (), "needs the column 'rooms'"),
        (lambda frame: frame.assign(rooms="many"), (), "rooms"),
        (lambda frame: frame, ("--version", "9"), "has no houses version 9"),
        (lambda frame: frame, ("--exclude", "garden"), "has no excluded column 'garden'"),
        (lambda frame: frame.head(0), (), "later.csv"),
    ],
    ids=[
        "no time",
        "no dates",
        "a row without",
        "no column",
        "no number",
        "no version",
        "no such column",
        "no rows",
    ],
)
def test_what_cannot_be_watched_is_one_line(
    mend: Callable[[pd.DataFrame], pd.DataFrame], words: tuple[str, ...], said: str, watch: Watch
) -> None:
    """And nothing is kept of it."""
    code, text = watch(mend(houses(60, "2024-07-01", 2, seed=1)), *words)
    assert code == 2, text
    (line,) = [line for line in text.splitlines() if line.startswith("slipway: ")]
    assert said in line


def test_a_version_without_a_reference_says_why(put_houses: Put, watch: Watch) -> None:
    """Older ones, and adopted ones."""
    put_houses(watched=False)
    code, text = watch(houses(60, "2024-07-01", 2, seed=1))
    assert code == 2
    assert (
        "houses version 1 cannot be watched: it was made before versions had one: train a new version" in text
    )


@pytest.mark.usefixtures("version")
def test_a_monitor_that_was_killed_before_its_state_writes_the_same_again(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures first, then the state that covers them: the second call repeats the days, to the last bit."""
    from training.records.watch_run import MonitorRun

    july = houses(300, "2024-07-01", 10, seed=1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(MonitorRun, "keep", killed)
        assert watch(july)[0] == 130
    assert watch(july)[0] == 0
    client, run = mlflow.MlflowClient(), monitor_run().info.run_id
    twice = [each.value for each in client.get_metric_history(run, "evidence_inputs")]
    assert len(set(twice)) == 10


@pytest.mark.usefixtures("version")
def test_fresh_intervals_bring_a_reference_of_their_own(watch: Watch, tmp_path: Path) -> None:
    """After `recalibrate` the errors are compared with those of the fresh rows."""
    houses(400, "2024-07-01", 30, seed=5, noise=40.0).to_csv("fresh.csv", index=False)
    assert main(["recalibrate", "--name", "houses", "--data", "fresh.csv"]) == 0
    versions = [model_registry.version("houses", number) for number in ("1", "2")]
    old, new = (json.loads((each.folder / flavor.REFERENCE).read_text()) for each in versions)
    assert new["columns"] == old["columns"]
    assert sum(new["scores"]["gaps"]) == 401
    assert sum(old["scores"]["gaps"]) == 501
    code, said = watch(houses(300, "2024-09-01", 10, seed=6, noise=40.0), "--version", "2")
    assert code in (0, 3), said
    assert "coverage since" not in said
