"""A challenger that learned nothing of what an alarm found makes room for one that did, once, and it is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.training.retraining.deaths import dying
from tests.training.retraining.villages import HARM, Village, by_hand, houses, refusals
from training.records import ledger, model_registry, monitor_run, tag_names
from training.retraining import follow, process
from training.retraining.memory import Memory

Calls = list[Mapping[str, str]]


def alarmed(village: Village, **since: str) -> None:
    """Look while alarms stand, each since its day."""
    alarms = {kind: SimpleNamespace(since=day, cause="it was found") for kind, day in since.items()}
    follow(replace(village.asked(), alarms=alarms))


@pytest.fixture
def waiting(village: Village, trained: Calls) -> Village:
    """Version 2 learned all rows until March 16 because they were many; on the 17th the world changed."""
    houses(600, seed=0, slope=2.0).to_csv("houses.csv", index=False)
    village.live(16, slope=2.0)
    follow(village.asked())
    assert model_registry.challenger("houses").tags[tag_names.LEARNED_UNTIL] == "2026-03-16"
    village.live(2, slope=3.0)
    village.heard()
    return village


def test_an_alarm_takes_the_place_of_a_challenger_that_learned_before_it(
    waiting: Village, trained: Calls
) -> None:
    """It would be judged for weeks beside a break that it knows nothing of; the new one begins its own sequence."""
    alarmed(waiting, harm="2026-03-17")
    overtaken = "challenger version 2 learned no row after 2026-03-16"
    said = waiting.heard()
    assert (
        f"retrain: retrain, because the alarm harm stands: since 2026-03-17: it was found; {overtaken}"
        in said
    )
    assert "decide: kept champion: version 2 retired: version 3 takes its place" in said
    entry = ledger.read("houses").entries[-1]
    assert (entry.kind, entry.to_version, entry.evidence) == ("refusal", "2", monitor_run("houses").run_id)
    assert overtaken in entry.reason
    assert "in the shadow of version 1 it was not yet: 80 rows so far" in entry.reason
    assert model_registry.version("houses", "2").tags[tag_names.REASON] == entry.reason
    watched = Memory.of(monitor_run("houses")).watched
    assert (watched.challenger, watched.learned_until, watched.shadow.rows) == ("3", "2026-03-18", 0)

    waiting.live(1, slope=3.0)
    alarmed(waiting, harm="2026-03-17")
    assert "did not retrain, because challenger version 3 is still being judged" in waiting.heard()
    waiting.live(4, slope=3.0)
    alarmed(waiting, harm="2026-03-17")
    assert model_registry.champion("houses").number == "3", waiting.heard()
    assert "on 200 captured rows" in ledger.read("houses").entries[-1].reason
    assert (len(trained), refusals()) == (2, ["2"])


def test_an_alarm_whose_rows_were_learned_replaces_nothing(waiting: Village, trained: Calls) -> None:
    """Nor does one that asks for no training."""
    alarmed(waiting, harm="2026-03-16", inputs="2026-03-18", coverage="2026-03-18")
    assert "did not retrain, because challenger version 2 is still being judged" in waiting.heard()
    assert (len(trained), refusals()) == (1, [])


def test_who_learned_an_alarms_rows_alone_is_the_answer_to_the_next_alarm(
    waiting: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A break raises one after the other; who learned two worlds, for few rows had come, makes room once more."""
    monkeypatch.setattr("training.retraining.asked.ENOUGH_ROWS", 120)
    alarmed(waiting, errors="2026-03-17")
    assert "all of them: 80 came since the alarm of 2026-03-17, 120 are enough alone" in waiting.heard()
    for _ in range(3):
        waiting.live(1, slope=3.0)
        alarmed(waiting, errors="2026-03-19", harm="2026-03-17")
    assert (len(trained), refusals()) == (3, ["2", "3"])
    assert "version 3 learned older rows, too, for few had come by 2026-03-18" in (said := waiting.heard())
    assert "120 of them captured (those since the alarm of 2026-03-17)" in said
    assert "did not retrain, because challenger version 4 is still being judged" in said
    assert len(pd.read_parquet(trained[-1]["data"])) == 120


def test_a_training_that_is_held_back_retires_nobody(
    waiting: Village, trained: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of a broken sensor train nothing, and the one that waits may be right once it is mended."""
    for place, day in enumerate(waiting.days[16:], 16):
        waiting.days[place] = replace(day, frame=day.frame.assign(area=-999.0))
    alarmed(waiting, harm="2026-03-17")
    assert "did not retrain, because captured rows of houses" in waiting.heard()
    waiting.live(1, slope=2.0)
    monkeypatch.setattr(process, "train", lambda *_: process.TrainedApart(refused="no time"))
    alarmed(waiting, harm="2026-03-17")
    assert "beside 1: not yet: 120 rows so far" in waiting.heard()
    assert model_registry.challenger("houses").number == "2"
    assert not refusals()


def test_whom_a_person_named_no_alarm_replaces(village: Village, trained: Calls) -> None:
    """A person's word counts for more than the rule's."""
    village.live(4, slope=3.0)
    by_hand(village)
    follow(village.asked())
    village.live(1, slope=3.0)
    follow(village.asked(alarms=HARM, since="2026-03-05"))
    assert "challenger version 2 is still being judged" in village.heard()
    assert not trained


@pytest.mark.parametrize("behind", [pytest.param(False, marks=pytest.mark.soak), True])
def test_wherever_it_is_killed_one_is_retired_for_one(waiting: Village, trained: Calls, behind: bool) -> None:
    """Each call dies one write later than the one before, until none is left."""
    for at in range(1, 40):
        try:
            with dying(at, behind=behind):
                alarmed(waiting, harm="2026-03-17")
            break
        except KeyboardInterrupt:
            bearer, entered = model_registry.challenger("houses"), refusals()
            assert (bearer.number, entered) in [("2", []), ("2", ["2"]), ("3", ["2"])]
    assert at > 4, "it was killed"
    assert (len(trained), refusals()) == (2, ["2"])
    assert model_registry.challenger("houses").number == "3"
    assert Memory.of(monitor_run("houses")).watched.challenger == "3"
