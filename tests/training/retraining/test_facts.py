"""What is known of a champion and its rows before the rule is asked, each figure beside one that is made by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

from tests.end_to_end.test_retraining import Street
from tests.training.retraining.villages import HARM, Village, houses
from training import archive
from training.commands import registered, watches
from training.errors import TrainingError
from training.jobs.recalibrate import recalibrate
from training.lessons import gather
from training.records import ledger, model_registry, monitor_run, tag_names, tracking
from training.retraining import course, follow
from training.retraining.facts import Traffic, costs_of, facts_of, labelled_rows
from training.retraining.memory import Memory
from training.succession import Costs, Facts


def silent(_step: str, _said: str) -> None:
    """Tell nobody."""


def facts(village: Village, memory: Memory | None = None, **asked: object) -> Facts:
    """What the rule would be asked with."""
    traffic, given = Traffic(), village.asked(**asked)
    rows = labelled_rows(given, traffic)
    return facts_of(given, memory or Memory(given.run), rows, traffic)


def test_the_answers_of_another_model_under_this_number_are_not_the_champions(
    village: Village, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of old, or a model that was deleted and made anew: the digest tells, as for the monitor."""
    champion, street = village.champion, Street(tmp_path / "captures")
    shared = {"number": "1", "schema": champion.schema, "scorer_folder": champion.scorer_folder}
    street.live(SimpleNamespace(digest="f" * 64, **shared), 2, slope=9.0)
    street.live(champion, 3, slope=2.0)
    asked = []
    monkeypatch.setattr(course, "follow", asked.append)
    config = watches.MonitorConfig(name="houses", captures=str(street.captures))
    watch = SimpleNamespace(alarms=[], outcomes_until="2026-12-31", ignored=())
    places = archive.found_at(street.captures)
    archive.compact(places, silent)
    course.after(
        watch, places, config, champion, monitor_run("houses"), reference=village.reference, say=silent
    )
    traffic = Traffic()
    rows = labelled_rows(asked[0], traffic)
    assert np.unique(rows.days).tolist() == ["2026-03-03", "2026-03-04", "2026-03-05"]
    assert traffic.left_out == 2


def test_rows_that_were_thinned_count_as_many_as_were_answered(village: Village) -> None:
    """A fifth of a day's rows was taken: 40 rows are here, 200 were kept, and answered."""
    village.live(2, slope=2.0)
    village.days = [replace(day, shares=np.full(40, 0.2), rows=200) for day in village.days]
    assert facts(village).rows_a_day == pytest.approx(200.0)


def test_the_live_error_is_careful_by_as_much_as_few_days_ask(village: Village) -> None:
    """Student's quantile: 2.78 standard errors of five days, where a normal has 1.96."""
    village.live(5, slope=3.0)
    means = np.array([np.abs(day.actual - day.predictions).mean() for day in village.days])
    expected = means.mean() - t.ppf(0.975, 4) * means.std(ddof=1) / np.sqrt(5)
    assert facts(village, independent=False).live == pytest.approx(expected)
    errors = np.concatenate([np.abs(day.actual - day.predictions) for day in village.days])
    expected = errors.mean() - t.ppf(0.975, 199) * errors.std(ddof=1) / np.sqrt(200)
    assert facts(village).live == pytest.approx(expected)
    village.days, village.by = village.days[:4], village.by[:4]
    assert np.isnan(facts(village, independent=False).live)


def test_an_age_is_that_of_the_registry_or_of_the_first_answer(village: Village) -> None:
    """A replay of last year is older than its version."""
    village.live(41, slope=2.0, rows=2)
    registered = (datetime.now(tz=UTC) - model_registry.made_at(village.champion)) / timedelta(days=1)
    assert registered < 1.0
    assert facts(village).age == 40.0
    village.days, village.by = village.days[-1:], village.by[-1:]
    assert facts(village).age == pytest.approx(registered, abs=0.01)


def test_costs_count_where_both_were_said(village: Village) -> None:
    """With the horizon, whose default is a month."""
    asked = village.asked(value=0.5, cost=20.0, horizon=timedelta(days=7))
    assert costs_of(asked) == Costs(0.5, 20.0, 7.0)
    assert costs_of(village.asked(value=0.5, cost=20.0, horizon=None)) == Costs(0.5, 20.0, 30.0)
    assert costs_of(village.asked()) is None


def test_rows_that_a_refused_challenger_learned_from_do_not_ask_again(village: Village) -> None:
    """Else the same rows would train the same challenger every day."""
    village.live(16, slope=2.0)
    memory = Memory(monitor_run("houses"), trained_on="2026-03-12", challenged_on="2026-03-10")
    found = facts(village, memory)
    assert (found.new_rows, found.tried_rows, found.untried_rows) == (640, 400, 240)
    assert (found.since_training, found.since_challenger) == (4.0, 6.0)


def test_a_challenger_is_remembered_and_a_training_that_failed_is_not_one(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """What a training that failed had for rows may be tried again."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    assert Memory.of(monitor_run("houses")).challenged_on == "2026-03-10"


def test_new_intervals_do_not_hide_what_the_model_was_trained_with(village: Village) -> None:
    """A recalibration's run has no rows, no error, no command and no contract: the training's has."""
    first = village.champion.run_id
    tracking.add_to_run(first, {tag_names.COMMAND: "python -m training train --seed 7"}, {})
    houses(80, seed=9, slope=2.0).to_csv("fresh.csv", index=False)
    config = registered.RecalibrateConfig(name="houses", data="fresh.csv")
    made = recalibrate(config, silent)
    ledger.record(ledger.settle("houses"), made, kind="forced", reason="new intervals")
    village.champion = model_registry.version("houses", made.number)
    assert made.run_id != first
    assert village.champion.trained_in == first
    village.live(2, slope=2.0)
    found = facts(village)
    assert found.learned_rows == 600
    assert found.held_out > 0.0


def test_no_more_days_are_read_than_rows_are_taken(village: Village) -> None:
    """The newest first."""
    village.live(9, slope=2.0)
    rows = gather(
        village.asked().newest_first([village.champion]), list(village.champion.schema.names), most=70
    )
    assert len(rows) == 70
    assert np.unique(rows.days).tolist() == ["2026-03-08", "2026-03-09"]
    assert rows.times.tolist() == sorted(rows.times.tolist())
    assert len(village.reads) <= 3


def test_no_day_is_read_where_nothing_may_be_trained_whatever_it_holds(
    village: Village, trained: list[Mapping[str, str]]
) -> None:
    """The rule's answer would be the same."""
    village.live(10, slope=3.0)
    follow(village.asked(alarms=HARM))
    village.reads.clear()
    follow(village.asked(alarms=HARM))
    assert "is still being judged" in village.heard()
    assert not village.reads


def test_a_store_that_is_away_is_no_missing_contract(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows would be held to something else than what the user wrote."""
    village.live(10, slope=3.0)

    def away(*_: object) -> None:
        raise TrainingError("no answer")

    monkeypatch.setattr("mlflow.MlflowClient.list_artifacts", away)
    with pytest.raises(TrainingError, match="no answer"):
        follow(village.asked(alarms=HARM))
