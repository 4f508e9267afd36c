"""What is decided of a challenger, once: what was decided before, who moved the champion, what can never be judged."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.training.retraining.villages import HARM, Village, by_hand, refusals, register
from training.gate import deciding
from training.records import ledger, model_registry, monitor_run, tag_names
from training.retraining import follow, process
from training.retraining.memory import Memory

Calls = list[Mapping[str, str]]


def without_files(version: model_registry.Version) -> None:
    """Take a version's files away."""
    client = mlflow.MlflowClient()
    model = client.get_model_version("houses", version.number).source.removeprefix("models:/")
    shutil.rmtree(Path(client.get_logged_model(model).artifact_location.removeprefix("file://")))


@pytest.mark.soak
def test_who_was_refused_and_is_named_again_is_judged_again(village: Village, trained: Calls) -> None:
    """On the days that come then: what was said of other days is no answer."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    village.live(10, slope=2.0)
    follow(village.asked())
    assert refusals() == ["2"]
    model_registry.name_challenger("houses", "2")
    follow(village.asked())
    assert model_registry.challenger("houses") is not None
    village.live(10, slope=3.0)
    follow(village.asked())
    assert model_registry.champion("houses").number == "2", village.heard()
    assert refusals() == ["2"]


@pytest.mark.soak
def test_a_challenger_beside_a_champion_that_left_meanwhile_keeps_its_name(
    village: Village, trained: Calls
) -> None:
    """Somebody moved the champion while the monitor was at work: nothing was found about the new one."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    other = register(pd.concat([day.frame.assign(price=day.actual) for day in village.days]), "another")
    village.live(10, slope=3.0)
    ledger.record(ledger.settle("houses"), other, kind="forced", reason="a person")
    follow(village.asked())
    assert "another change of houses came first, its champion is version 3 now" in village.heard()
    assert model_registry.challenger("houses").number == "2"
    assert not refusals()


def test_a_challenger_by_hand_is_judged_on_what_comes_after_all_that_was_captured(
    village: Village, trained: Calls
) -> None:
    """Its table may hold the rows of yesterday, whose outcomes are still waited for."""
    village.live(8, slope=3.0)
    by_hand(village)
    follow(village.asked(immature=6))
    assert Memory.of(monitor_run("houses")).watched.learned_until == "2026-03-08"
    village.live(4, slope=3.0)
    follow(village.asked())
    assert "160 rows so far" in village.heard()


@pytest.mark.parametrize("whose", ["both", "challenger"])
def test_weighted_rows_are_not_judged_as_if_they_were_not(
    village: Village, trained: Calls, whose: str
) -> None:
    """No request says how much its row counts."""
    village.live(10, slope=3.0)
    by_hand(village)
    weight = {tag_names.WEIGHT: "size"}
    model_registry.tag("houses", "2", weight)
    if whose == "both":
        model_registry.tag("houses", "1", weight)
        village.champion = model_registry.version("houses", "1")
    follow(village.asked())
    assert refusals() == ["2"]
    assert "rows are weighted by 'size', which captured rows lack" in village.heard()


def test_a_challenger_that_weighs_rows_otherwise_is_refused(village: Village, trained: Calls) -> None:
    """As the gate refuses it."""
    village.live(10, slope=3.0)
    by_hand(village)
    model_registry.tag("houses", "1", {tag_names.WEIGHT: "size"})
    village.champion = model_registry.version("houses", "1")
    follow(village.asked())
    assert refusals() == ["2"]
    assert "errors of two kinds do not compare" in village.heard()


def test_a_challenger_that_takes_other_requests_is_refused_before_it_is_asked(
    village: Village, trained: Calls
) -> None:
    """Texts of a category are no numbers: each night's call would end in a traceback, and tell no alarm."""
    village.live(10, slope=3.0)
    by_hand(village)
    schema = village.champion.schema
    columns = [replace(each, kind="category") if each.name == "rooms" else each for each in schema.columns]
    village.champion.__dict__["schema"] = replace(schema, columns=tuple(columns))
    follow(village.asked())
    assert "it does not take the requests that the champion accepts: 'rooms' was a category" in (
        village.heard()
    )
    assert refusals() == ["2"]


def test_a_challenger_of_another_target_is_refused(village: Village, trained: Calls) -> None:
    """Its distance from outcomes that it does not predict says nothing."""
    village.live(10, slope=3.0)
    by_hand(village)
    model_registry.tag("houses", "2", {tag_names.TARGET: "rent"})
    follow(village.asked())
    assert "it predicts 'rent', the champion 'price'" in village.heard()
    assert refusals() == ["2"]


@pytest.mark.soak
def test_a_challenger_whose_files_are_gone_makes_room(village: Village, trained: Calls) -> None:
    """It would be the one that is still being judged for ever."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    without_files(model_registry.challenger("houses"))
    for days in (1, 2):
        village.live(days, slope=3.0)
        follow(village.asked(alarms=HARM))
        assert "version 2 cannot be judged today" in village.heard()
        assert not refusals(), "a store may be away for a night"
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert refusals() == ["2"]
    assert "has other files than it was registered with" in ledger.read("houses").entries[-1].reason
    assert model_registry.challenger("houses").number == "3", "and the next is trained"
    assert len(trained) == 2


@pytest.mark.soak
def test_a_version_whose_files_are_gone_when_it_is_made_ends_no_call(
    village: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alarm has to be told all the same, in that call and in the next."""
    train = process.train

    def losing(words: Mapping[str, str], lock: int) -> process.TrainedApart:
        done = train(words, lock)
        without_files(model_registry.version("houses", done.version))
        return done

    village.live(10, slope=3.0)
    with monkeypatch.context() as patch:
        patch.setattr(process, "train", losing)
        follow(village.asked(alarms=HARM))
    assert model_registry.challenger("houses").number == "2"
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "version 2 cannot be judged today" in village.heard()


@pytest.mark.soak
def test_who_is_named_while_another_is_trained_keeps_the_name(
    village: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person's word counts for more than the rule's."""
    village.live(10, slope=3.0)
    train = process.train

    def naming(words: Mapping[str, str], lock: int) -> process.TrainedApart:
        by_hand(village)
        return train(words, lock)

    monkeypatch.setattr(process, "train", naming)
    follow(village.asked(alarms=HARM))
    assert "version 3 is not: version 2 was named" in village.heard()
    assert model_registry.challenger("houses").number == "2"
    assert Memory.of(monitor_run("houses")).watched is None
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert "challenger version 2 is still being judged" in village.heard()


@pytest.mark.soak
def test_a_better_one_is_not_asked_twice_whether_it_is_better(
    village: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate's interval is for one look at rows of a holdout; the shadow's was looked at each day."""
    unsure = deciding.Check(deciding.BETTER, passed=False, found="-30 % to 1 %", limit="below 0 %")
    monkeypatch.setattr(deciding, "better", lambda _policy, _change: unsure)
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert model_registry.champion("houses").number == "2", village.heard()


@pytest.mark.soak
def test_days_are_draws_where_their_rows_are_not_independent(village: Village, trained: Calls) -> None:
    """And 30 of them are waited for."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM, independent=False))
    assert "later days or so" in village.heard()
    village.live(29, slope=3.0)
    follow(village.asked(alarms=HARM, independent=False))
    assert "29 days with 1,160 rows so far" in village.heard()
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM, independent=False))
    assert model_registry.champion("houses").number == "2", village.heard()
