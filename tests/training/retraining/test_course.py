"""The whole course in a real store: cause, training, shadow, gate, ledger; and what stops it, wherever it is killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.training.retraining.deaths import dying
from tests.training.retraining.villages import HARM, Village, houses, register
from training.errors import UsageError
from training.records import ledger, model_registry, monitor_run, tag_names, tracking
from training.retraining import follow, process


def test_a_changed_world_gets_a_new_champion(village: Village, trained: list[Mapping[str, str]]) -> None:
    """From the alarm to the ledger, whose evidence is the monitor's run."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "retrain: retrain, because the alarm harm stands" in village.heard()
    challenger = model_registry.challenger("houses")
    assert challenger is not None
    assert challenger.tags[tag_names.CAUSE].startswith("retrain, because the alarm harm stands")
    assert challenger.tags[tag_names.LEARNED_UNTIL] == "2026-03-10"
    tags = tracking.recorded_tags(challenger.run_id)
    assert (tags[tag_names.FIRST_TABLE], tags[tag_names.CAUSE]) == (
        "houses.csv",
        challenger.tags[tag_names.CAUSE],
    )
    assert len(pd.read_parquet(trained[0]["data"])) == 400
    village.live(4, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "160 rows so far, nothing is said before 200 rows" in (said := village.heard())
    assert "did not retrain, because challenger version 2 is still being judged" in said
    village.live(6, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "shadow: version 2 beside 1: better" in village.heard()
    champion = model_registry.champion("houses")
    assert champion is not None
    assert champion.number == "2"
    assert model_registry.challenger("houses") is None
    entry = ledger.read("houses").entries[-1]
    run = monitor_run("houses")
    assert (entry.kind, entry.to_version, entry.evidence) == ("promotion", "2", run.run_id)
    assert "the alarm harm stands" in entry.reason
    assert "on 200 captured rows" in entry.reason
    assert "holdout" not in entry.reason
    told = tracking.recorded_tags(run.run_id)[tag_names.RETRAINING]
    assert told == "did not retrain, because version 2 took the place of version 1"
    evidence = mlflow.artifacts.load_dict(f"runs:/{run.run_id}/shadow/version_2/evidence.json")
    checks = [check["name"] for check in evidence["checks"]]
    assert checks[0] == "mean gain over the champion on later rows"
    assert not any("interval of the change" in check for check in checks)
    assert len(trained) == 1


@pytest.mark.soak
def test_a_challenger_that_is_no_better_is_refused_and_said_so(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """The world went back to what it was: the champion is the better one on the days that count."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    village.live(10, slope=2.0)
    follow(village.asked(alarms=HARM))
    assert "shadow: version 2 beside 1: worse" in village.heard()
    entry = ledger.read("houses").entries[-1]
    assert (entry.kind, entry.to_version) == ("refusal", "2")
    assert model_registry.champion("houses").number == "1"
    assert len(trained) == 2, "the alarm stands, the day is another one, and the last challenger was judged"
    assert model_registry.challenger("houses").number == "3"


def broken(village: Village, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    """Ten days of which the last five came from a broken sensor."""
    village.live(5, slope=3.0)
    village.live(5, slope=3.0)
    for place, day in enumerate(village.days[5:], 5):
        village.days[place] = type(day)(**{**vars(day), "frame": change(day.frame)})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.assign(area=-999.0), "'area'"),
        (lambda frame: frame.assign(area=frame["area"] * 10.76), "'area'"),
        (lambda frame: frame.assign(rooms=np.nan), "cells are empty"),
        (lambda frame: frame.assign(town=None), "cells are empty"),
    ],
    ids=["a word for a gap", "another unit", "a dead column", "a dead category"],
)
def test_a_broken_sensor_trains_nothing(
    change: Callable[[pd.DataFrame], pd.DataFrame],
    said: str,
    village: Village,
    trained: list[Mapping[str, str]],
) -> None:
    """Although the errors alarm: of course they do."""
    broken(village, change)
    follow(village.asked(alarms=HARM))
    heard = village.heard()
    assert "did not retrain, because " in heard
    assert said in heard
    assert "or pass contract=FILE that allows them" in heard
    assert not trained
    assert tracking.recorded_tags(monitor_run("houses").run_id)[tag_names.RETRAINING].startswith(
        "did not retrain"
    )


@pytest.mark.parametrize("area", [-999.0, 60.0], ids=["beyond what was seen", "the same in each row"])
def test_a_column_that_is_not_watched_is_not_held_to_what_was(
    area: float, village: Village, trained: list[Mapping[str, str]]
) -> None:
    """A month is new each month: who trained on the spring could never learn from an autumn."""
    broken(village, lambda frame: frame)
    village.days = [type(day)(**{**vars(day), "frame": day.frame.assign(area=area)}) for day in village.days]
    follow(village.asked(alarms=HARM))
    assert not trained
    follow(village.asked(alarms=HARM, unwatched=("area",)))
    assert len(trained) == 1, village.heard()


def test_what_is_wrong_with_the_rows_is_one_line(village: Village, trained: list[Mapping[str, str]]) -> None:
    """However much it is."""
    broken(village, lambda frame: frame.assign(area=-999.0, rooms=99.0))
    follow(village.asked(alarms=HARM))
    (line,) = (line for line in village.said if "did not retrain" in line)
    assert "; column 'area'" in line
    assert "; column 'rooms'" in line
    assert "\n" not in line
    assert not trained


def test_a_column_that_stands_still_trains_nothing(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """A stuck sensor has a value that was seen before."""
    broken(village, lambda frame: frame)
    village.days = [type(day)(**{**vars(day), "frame": day.frame.assign(rooms=3.0)}) for day in village.days]
    follow(village.asked(alarms=HARM))
    assert "'rooms': has the same value in each row, it had several" in village.heard()
    assert not trained


def test_one_absurd_outcome_trains_nothing(village: Village, trained: list[Mapping[str, str]]) -> None:
    """Who may send outcomes could teach a model anything: they are held to what can be."""
    village.live(10, slope=3.0)
    village.days[7].actual[3] = 1e12
    follow(village.asked(alarms=HARM))
    assert "'price', row 284: 1e12 is above" in village.heard()
    assert not trained


def test_a_contract_that_is_given_says_what_is_right(
    village: Village, trained: list[Mapping[str, str]], tmp_path: Path
) -> None:
    """Who changed the unit on purpose says so; the challenger's run keeps the contract for the next time."""
    broken(village, lambda frame: frame.assign(area=frame["area"] * 10.76))
    contract = tmp_path / "houses.yaml"
    columns = "area: {kind: number, maximum: 3000}", "rooms: {kind: number}", "town: {kind: category}"
    contract.write_text("\n  ".join(["columns:", *columns, "price: {kind: number}"]))
    follow(village.asked(alarms=HARM, contract=str(contract)))
    assert len(trained) == 1
    assert (
        tracking.recorded_text(model_registry.challenger("houses").run_id, "contract.yaml")
        == contract.read_text()
    )


def test_one_training_a_day(village: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that failed is tried again with the next day's rows, not in the next minute."""
    calls = []

    def refused(words: Mapping[str, str], _lock: int) -> process.TrainedApart:
        calls.append(words)
        return process.TrainedApart(refused="no model but the mean could be fitted")

    monkeypatch.setattr(process, "train", refused)
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "did not retrain, because no model but the mean could be fitted" in village.heard()
    follow(village.asked(alarms=HARM))
    assert "the last training was on this day" in village.heard()
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert len(calls) == 2


def test_the_first_table_is_learned_from_too_where_no_alarm_says_otherwise(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """As many new rows as were learned from, of the same world; and always where it was asked for."""
    houses(600, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    village.live(16, slope=2.0)
    follow(village.asked())
    assert "as many as the 600 that it learned from" in village.heard()
    assert len(pd.read_parquet(trained[0]["data"])) == 600 + 640
    assert (
        tracking.recorded_tags(model_registry.challenger("houses").run_id)[tag_names.FIRST_TABLE]
        == "houses.csv"
    )


def test_two_monitors_at_once_train_once(village: Village, trained: list[Mapping[str, str]]) -> None:
    """The second says so and does nothing."""
    village.live(10, slope=3.0)
    with process.alone(village.asked().trainings / "houses.lock"):
        follow(village.asked(alarms=HARM))
    assert "another process trains or judges houses" in village.heard()
    assert not trained
    told = tracking.recorded_tags(monitor_run("houses").run_id)[tag_names.RETRAINING]
    assert told == "did not retrain, because another process trains or judges houses"


@pytest.mark.soak
def test_whoever_bears_the_alias_is_judged(village: Village, trained: list[Mapping[str, str]]) -> None:
    """A version of a person's own: on the rows after it got its name."""
    village.live(2, slope=3.0)
    register(pd.concat([day.frame.assign(price=day.actual) for day in village.days]), "by hand")
    model_registry.name_challenger("houses", "2")
    follow(village.asked())
    village.live(10, slope=3.0)
    follow(village.asked())
    assert model_registry.champion("houses").number == "2"
    assert "somebody named it challenger" in ledger.read("houses").entries[-1].reason
    assert not trained


@pytest.mark.soak
def test_a_challenger_in_the_shadow_of_a_champion_that_left_begins_again(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """Its figures were beside another one."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    village.live(4, slope=3.0)
    follow(village.asked(alarms=HARM))
    other = register(pd.concat([day.frame.assign(price=day.actual) for day in village.days]), "by hand")
    ledger.record(ledger.settle("houses"), other, kind="forced", reason="a person")
    village.champion = model_registry.version("houses", other.number)
    village.live(1, slope=3.0)
    village.heard()
    follow(village.asked())
    assert "version 2 beside 3: not yet: 40 rows so far" in village.heard()


def test_a_memory_that_is_none_is_one_line(village: Village) -> None:
    """Somebody wrote there."""
    village.live(1, slope=3.0)
    monitor_run("houses").remember({"watched": {"challenger": 7}})
    with pytest.raises(UsageError, match="delete that run, and the monitor begins anew"):
        follow(village.asked())


@pytest.mark.soak
@pytest.mark.parametrize("behind", [False, True])
def test_wherever_it_is_killed_the_same_is_decided_once(
    village: Village, trained: list[Mapping[str, str]], behind: bool
) -> None:
    """Each call dies one write later than the one before, until none is left: one training, one promotion."""
    village.live(10, slope=3.0)
    for part in range(2):
        for at in range(1, 40):
            try:
                village.champion = model_registry.champion("houses")
                with dying(at, behind=behind):
                    follow(village.asked(alarms=HARM if village.champion.number == "1" else {}))
                break
            except KeyboardInterrupt:
                continue
        else:
            pytest.fail("it never came through")
        if part == 0:
            assert model_registry.challenger("houses").number == "2"
            village.live(10, slope=3.0)
    assert len(trained) == 1
    assert [version.number for version in model_registry.versions("houses")] == ["1", "2"]
    history = ledger.read("houses")
    assert [(entry.kind, entry.to_version) for entry in history.entries] == [
        ("promotion", "1"),
        ("promotion", "2"),
    ]
    assert history.serving == "2"
