"""What a challenger is trained from, as what, and what holds it back, in a real store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests

from tests.training.retraining.villages import HARM, Village, houses
from training.records import ledger, model_registry, monitor_run, tag_names, tracking
from training.retraining import follow, process, teaching
from training.rows import parts

Calls = list[Mapping[str, str]]


def test_a_challenger_is_trained_as_the_champion_was(village: Village, trained: Calls) -> None:
    """With its seed, its trials, its units; on captured rows, and without a word about a promotion."""
    command = (
        "python -m training train --data houses.csv --target price --seed 7 --trials 3 --monotonic area=+ "
        "--explain false --memory 2GB"
    )
    tracking.add_to_run(village.champion.run_id, {tag_names.COMMAND: command}, {})
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    (words,) = trained
    table = str(village.folder / "trainings" / "houses-1-harm-2026-03-10.parquet")
    expected = {"name": "houses", "target": "price", "seed": "7", "trials": "3", "monotonic": "area=+"}
    expected |= {"memory": "2GB", "explain": "false"}  # no learned rows are kept, which somebody did not want
    assert words.items() >= (expected | {"data": table}).items()


@pytest.mark.parametrize(
    ("days", "count", "said"),
    [
        (20, 600, "600 of them captured (those since the alarm of 2026-03-06)"),
        (
            10,
            400,
            "400 of them captured (all of them: 200 came since the alarm of 2026-03-06, 500 are enough",
        ),
    ],
    ids=["enough since the alarm", "too few since the alarm"],
)
def test_after_an_alarm_rows_of_the_new_world_are_learned_from_if_they_are_enough(
    days: int, count: int, said: str, village: Village, trained: Calls
) -> None:
    """What came before it would teach the old one."""
    village.live(5, slope=2.0)
    village.live(days - 5, slope=3.0)
    follow(village.asked(alarms=HARM, since="2026-03-06"))
    assert len(pd.read_parquet(trained[0]["data"])) == count
    assert said in village.heard()


@pytest.mark.soak
def test_the_first_table_is_learned_from_after_an_alarm_where_it_was_asked_for(
    village: Village, trained: Calls
) -> None:
    """Who says both knows that the first rows are still of this world."""
    houses(600, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    village.live(20, slope=3.0)
    follow(village.asked(alarms=HARM, since="2026-03-06", learn="both"))
    assert len(pd.read_parquet(trained[0]["data"])) == 600 + 800


def test_how_the_first_table_is_read_comes_along_with_where_it_is(village: Village, trained: Calls) -> None:
    """No run of a copy's name has that table: of `header=none`, a query and the rest nothing was left."""
    recorded = {"data": "houses.csv", "header": "none", "missing": "-200"}
    command = " ".join(f"--{name} {word}" for name, word in recorded.items())
    tags = {tag_names.COMMAND: f"python -m training train {command}"}
    tracking.add_to_run(village.champion.run_id, tags, {})
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    copied: Any = SimpleNamespace(name="elsewhere", champion=model_registry.challenger("houses"))
    assert teaching._first_table(copied) == recorded


def test_a_first_table_that_memory_does_not_hold_is_refused_in_a_line(
    village: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read whole, which ends a monitor."""
    houses(600, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    monkeypatch.setattr(parts.seeing, "free_memory", lambda: 1e3)
    village.live(20, slope=3.0)
    follow(village.asked(alarms=HARM, learn="both"))
    said = "houses.csv, from which houses was first trained, takes more memory than there is: pass learn=captured"
    assert said in village.heard()
    assert not trained


def test_the_contract_of_the_champions_training_holds(village: Village, trained: Calls) -> None:
    """It was written by a person: what the rows were by chance is no better."""
    columns = "area: {kind: number, maximum: 100}", "rooms: {kind: number}", "town: {kind: category}"
    contract = "\n  ".join(["columns:", *columns, "price: {kind: number}"])
    tracking.add_to_run(village.champion.run_id, {}, {"contract.yaml": contract})
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "against the contract of houses version 1" in (heard := village.heard())
    assert "is above 100" in heard
    assert not trained


@pytest.mark.soak
def test_the_contract_that_held_is_kept_although_the_file_has_changed(
    village: Village, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Calls
) -> None:
    """A training takes minutes, and may be ended by the next call, which was given another file."""
    contract = tmp_path / "houses.yaml"
    columns = "area: {kind: number}", "rooms: {kind: number}", "town: {kind: category}"
    contract.write_text(text := "\n  ".join(["columns:", *columns, "price: {kind: number}"]))
    train = process.train

    def meanwhile(words: Mapping[str, str], lock: int) -> process.TrainedApart:
        contract.write_text(text.replace("area: {kind: number}", "area: {kind: number, maximum: 1}"))
        return train(words, lock)

    monkeypatch.setattr(process, "train", meanwhile)
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM, contract=str(contract)))
    assert tracking.recorded_text(model_registry.challenger("houses").run_id, "contract.yaml") == text


def test_rows_whose_weight_nobody_captured_train_nothing(village: Village, trained: Calls) -> None:
    """No request says how much its row counts."""
    model_registry.tag("houses", "1", {tag_names.WEIGHT: "size"})
    village.champion = model_registry.version("houses", "1")
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    said = "houses cannot be trained from captured rows: its rows are weighted by 'size', which they lack"
    assert f"did not retrain, because {said}" in village.heard()
    assert not trained


def test_a_retraining_that_would_not_pay_is_not_made_and_the_sum_is_said(
    village: Village, trained: Calls
) -> None:
    """Half a unit of money for each of 40 rows a day, over a week."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM, value=0.5, cost=1e6, horizon=timedelta(days=7)))
    heard = village.heard()
    assert "0.5 * 280 rows in 7 days = " in heard
    assert "a retraining costs 1e+06" in heard
    assert "did not retrain, because it would not pay, although the alarm harm stands" in heard
    assert not trained


@pytest.mark.soak
def test_an_age_trains_once_and_again_when_the_challenger_is_as_old(village: Village, trained: Calls) -> None:
    """A refused challenger does not make the champion younger; each night a new one would be trained."""
    houses(600, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    village.live(11, slope=2.0)
    asked = {"max_age": timedelta(days=10)}
    follow(village.asked(**asked))
    assert "the champion is 10 days old, 10 are allowed" in village.heard()
    model_registry.name_challenger("houses", "")
    village.live(9, slope=2.0)
    follow(village.asked(**asked))
    assert "did not retrain, because neither errors nor harm alarm" in village.heard()
    village.live(1, slope=2.0)
    follow(village.asked(**asked))
    assert len(trained) == 2


def test_a_training_that_cannot_be_started_is_said(village: Village, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for a process, or for its folder: the alarm is told all the same."""

    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    village.live(10, slope=3.0)
    with monkeypatch.context() as patch:
        patch.setattr("training.retraining.process.subprocess.run", no_room)
        follow(village.asked(alarms=HARM))
    assert "did not retrain, because no training could be started: " in village.heard()


def test_a_store_that_is_away_plans_no_challenger_and_the_next_call_does(
    village: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counted as a challenger without gain, which was to be judged on 5,000 rows in place of 200."""
    fetch = mlflow.artifacts.download_artifacts

    def away(artifact_uri: str, dst_path: str) -> str:
        if artifact_uri.startswith("models:/houses/2"):
            raise requests.ConnectionError("refused")
        return str(fetch(artifact_uri=artifact_uri, dst_path=dst_path))

    def told() -> str:
        return tracking.recorded_tags(monitor_run("houses").run_id)[tag_names.RETRAINING]

    village.live(10, slope=3.0)
    with monkeypatch.context() as patch:
        patch.setattr(mlflow.artifacts, "download_artifacts", away)
        follow(village.asked(alarms=HARM))
        waits = "version 2 waits to be judged: the files of houses version 2 cannot be fetched: the server did not"
        assert f"challenger: {waits}" in village.heard()
        follow(village.asked(alarms=HARM))
        assert told().startswith(f"did not retrain, because {waits}")
    assert (model_registry.challenger("houses"), len(ledger.read("houses").entries)) == (None, 1)
    follow(village.asked(alarms=HARM))
    assert "challenger: houses version 2: retrain, because the alarm harm stands" in (said := village.heard())
    assert "judged on 200 later rows or so" in said
    assert model_registry.challenger("houses").number == "2"
    assert len(trained) == 1
