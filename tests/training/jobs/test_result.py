"""What programs read of a training: one JSON file, whole or absent, and an exit code of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training import __main__ as commands
from training.challenger.registering import Outcome
from training.commands.parser import parse
from training.commands.policies import Policy
from training.errors import SearchFailed, UsageError
from training.gate import deciding
from training.jobs import adopt, result, train
from training.jobs.champions import promote
from training.measuring.comparison import Change
from training.records import model_registry

TRAIN = ["train", "--data", "houses.csv", "--target", "price"]
UNSURE = Change(90.3, 100.0, -0.097, -0.28, 0.084, 0.26, 249, 249)
KEPT = deciding.decide(Policy(), [], change=UNSURE, slices=[], champion_version="3")


def outcome(decision: deciding.Decision) -> Outcome:
    """Return a version of no registry, decided about."""
    version = model_registry.Version("houses", "4", "run", {"slipway.scorer_digest": "ab"})
    return Outcome(version, decision, "run", {"holdout_rmse": 90.3, "holdout_r2": float("nan")})


@pytest.mark.parametrize(
    ("decision", "words", "code"),
    [
        (deciding.forced("because"), [], 0),
        (deciding.forced("because"), ["--fail_if_kept", "true"], 0),
        (KEPT, [], 0),
        (KEPT, ["--fail_if_kept", "true"], 4),
    ],
)
def test_a_champion_that_was_kept_is_a_failure_only_where_it_was_asked_to_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, decision: deciding.Decision, words: list[str], code: int
) -> None:
    """Both ended with 0, so that cron had to search the lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "train", lambda *_: outcome(decision))
    assert commands.main([*TRAIN, *words, "--result", str(tmp_path / "r.json")]) == code
    assert json.loads((tmp_path / "r.json").read_text())["promoted"] is decision.promoted


def test_promote_and_adopt_have_both_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever may promote may be run by a program."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(promote, "promote", lambda *_: outcome(KEPT))
    monkeypatch.setattr(adopt, "adopt", lambda *_: outcome(KEPT))
    asked = ["--fail_if_kept", "true", "--result", "r.json"]
    for command in (
        ["promote", "--name", "houses", "--version", "4"],
        ["adopt", "--model", "m.joblib", "--data", "houses.csv", "--target", "price"],
    ):
        Path("r.json").unlink(missing_ok=True)
        assert commands.main([*command, *asked]) == 4
        assert json.loads(Path("r.json").read_text())["version"] == "4"


def test_the_file_says_what_was_decided_and_why(tmp_path: Path) -> None:
    """JSON that any parser takes: a figure that there is not is null."""
    result.write(str(tmp_path / "r.json"), outcome(KEPT))
    written = json.loads((tmp_path / "r.json").read_text(), parse_constant=pytest.fail)
    assert written["name"] == "houses"
    assert written["decision"] == "kept champion"
    assert written["figures"] == {"holdout_rmse": 90.3, "holdout_r2": None}
    assert written["change_in_rmse"]["low"] == -0.28
    assert "249 shared rows" in written["reason"]
    assert "too few" in written["advice"]
    assert written["digest"] == "ab"
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_yesterdays_file_does_not_speak_for_todays_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A training that fails leaves none."""
    monkeypatch.chdir(tmp_path)
    Path("r.json").write_text('{"promoted": true}')

    def fail(*_: object) -> Outcome:
        raise SearchFailed(tried=3, reason="no")

    monkeypatch.setattr(train, "train", fail)
    assert commands.main([*TRAIN, "--result", "r.json"]) == 2
    assert not Path("r.json").exists()


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    """Not after an hour of training."""
    with pytest.raises(
        UsageError, match=r"result: .*/none/r.json cannot be written: No such file or directory"
    ):
        result.make_room(str(tmp_path / "none" / "r.json"))
    with pytest.raises(UsageError, match="Is a directory"):
        result.make_room(str(tmp_path))


def test_a_promotion_that_is_not_wanted_cannot_fail() -> None:
    """`promote=never` would always end with 4."""
    with pytest.raises(UsageError, match="goes with promote=auto"):
        parse([*TRAIN, "--promote", "never", "--fail_if_kept", "true"])


@pytest.mark.parametrize(
    ("change", "policy", "says"),
    [
        (
            UNSURE,
            Policy(),
            "249 shared rows are too few to tell, to show -9.7 % takes about 1,789: pass more rows, "
            "or -P policy=not-worse -P margin=0.09 if up to 9% worse will do",
        ),
        (
            replace(UNSURE, change=-0.01, low=-0.025, high=0.005, detectable=0.02),
            Policy(),
            "249 shared rows are too few to tell, to show -1 % takes about 996: pass more rows, "
            "or -P policy=not-worse if up to 1% worse will do",
        ),
        (
            replace(UNSURE, high=0.3),
            Policy(),
            "249 shared rows are too few to tell, to show -9.7 % takes about 1,789: pass more rows",
        ),
        (
            replace(UNSURE, change=0.002, low=-0.002, high=0.006),
            Policy(),
            "it is no better on these rows, and more of them would not show otherwise; "
            "-P policy=not-worse if up to 1% worse will do",
        ),
        (
            replace(UNSURE, change=0.1, low=0.05, high=0.15),
            Policy(),
            "it is surely worse: more training rows, better columns or a longer time_budget may change that",
        ),
        (
            replace(UNSURE, change=0.0, low=0.0, high=0.0, detectable=0.0),
            Policy(),
            "the two predict the same on every row; -P policy=not-worse if up to 1% worse will do",
        ),
        (
            replace(UNSURE, change=0.0, low=-0.02, high=0.02, detectable=0.03),
            Policy("not-worse"),
            "249 shared rows are too few to tell, to show 0 % takes about 2,241: pass more rows, "
            "or -P policy=not-worse -P margin=0.03 if up to 3% worse will do",
        ),
    ],
)
def test_a_refusal_says_what_would_help(change: Change, policy: Policy, says: str) -> None:
    """Cut off with -9.7 % [-28 %, +8.4 %], the reader knew neither how many rows it takes nor of another policy."""
    decision = deciding.decide(policy, [], change=change, slices=[], champion_version="3")
    assert not decision.promoted
    assert decision.advice == says


def test_a_model_that_is_hardly_better_than_the_mean_is_told_so() -> None:
    """More rows of the holdout would not help it."""
    checks = [deciding.beats_baseline(4.67e9, 4.67e9)]
    for change in (None, UNSURE):
        decision = deciding.decide(
            Policy(), checks, change=change, slices=[], name="wild", champion_version="3"
        )
        assert decision.advice.startswith("the columns say next to nothing of the target")


def test_the_margin_that_is_named_is_one_that_passes() -> None:
    """Advice that does not help is worse than none."""
    for high in (0.0, 0.004, 0.01, 0.0199, 0.02, 0.084, 0.19):
        change = replace(UNSURE, change=-0.01, high=high)
        advice = deciding.advice(Policy(), change)
        margin = float(advice.partition("margin=")[2].split()[0]) if "margin=" in advice else 0.01
        assert deciding.better(Policy("not-worse", margin), change).passed, advice
