"""Optuna begins where the known settings end."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from optuna.trial import FixedTrial

from tests.training.search.searched_rows import chosen, rows_of
from training.models import portfolio, ranges
from training.models.families import build
from training.search.proposals import Proposals

NEARLY = {"l2_regularization": 1e-3, "lambda_l2": 1e-3, "gamma": 0.25}
"""What Optuna has to choose where a family's default is no number in its range."""


@pytest.fixture
def task() -> portfolio.Task:
    """Of 400 rows of four numbers."""
    rows = rows_of(np.random.default_rng(0).normal(size=(400, 4)), np.arange(400.0))
    return portfolio.Task(400, rows.schema)


def test_the_first_proposal_knows_what_the_portfolio_scored(task: portfolio.Task) -> None:
    """It was drawn at random, one family in six, after twenty known results."""
    first: Counter[str] = Counter()
    for seed in range(12):
        proposals = Proposals(task, seed)
        for spec in portfolio.first(task):
            _, tell = proposals.known(spec)
            tell(1.0 if spec["family"] == "support_vectors" else 5.0)
        first[str(proposals.ask()[0]["family"])] += 1
    assert first["support_vectors"] >= 8


def test_a_setting_that_comes_to_its_end_after_the_first_proposal_is_told_too(task: portfolio.Task) -> None:
    """Trials run side by side, so that the last of the known settings ends after Optuna was asked."""
    proposals = Proposals(task, 0)
    _, tell = proposals.known({"family": "boosting", "params": {}})
    proposals.ask()
    tell(2.0)
    assert [trial.value for trial in proposals._study.trials if trial.state.is_finished()] == [2.0]


def test_a_setting_that_failed_is_told_as_one_that_was_given_up(task: portfolio.Task) -> None:
    """An error that is no number would end the study."""
    proposals = Proposals(task, 0)
    _, tell = proposals.known({"family": "boosting", "params": {}})
    tell(np.nan)
    proposals.ask()
    assert [trial.state.name for trial in proposals._study.trials] == ["PRUNED", "RUNNING"]


def test_what_optuna_is_told_is_what_was_tried(task: portfolio.Task) -> None:
    """Built again from Optuna's own parameters, each known setting is the same model but for what is nearly so."""
    told = [(spec, ranges.answers_of(spec, task)) for spec in portfolio.first(task)]
    expressed = [(spec, answers) for spec, answers in told if answers is not None]
    assert len(expressed) >= 10, "as many as Optuna wants before it uses them"
    for spec, answers in expressed:
        again = ranges.proposed(FixedTrial(answers), task)
        nearly = NEARLY.keys() - spec["params"].keys()
        assert {name: again["params"].get(name, NEARLY[name]) for name in nearly} == {
            name: NEARLY[name] for name in nearly
        }
        exactly = {name: value for name, value in again["params"].items() if name not in nearly}
        models = [
            build({**spec, "params": params}, task.schema, seed=0) for params in (spec["params"], exactly)
        ]
        assert repr(models[0]) == repr(models[1])


def test_what_no_proposal_can_be_is_not_told(task: portfolio.Task) -> None:
    """A ridge without splines, a bag of networks, a blend: the nearest setting would have scored otherwise."""
    for spec in (
        {"family": "ridge", "params": {}},
        {"family": "perceptron", "params": {"bag": 3}},
        {"family": "boosting", "params": {"max_iter": 37}},
        {"family": "boosting", "params": {"target": "log"}},
        {"family": "blend", "members": [], "weights": []},
    ):
        assert ranges.answers_of(spec, task) is None


def test_a_search_tells_optuna_what_it_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion's settings and the portfolio's, from the race itself."""
    learnt: list[tuple[str, float]] = []
    monkeypatch.setattr(Proposals, "_learn", lambda _, spec, rmse: learnt.append((str(spec["family"]), rmse)))
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (200, 2))
    warm = {"family": "boosting", "params": {"max_iter": 120}}
    trials = chosen(rows_of(x, x[:, 0]), seconds=1.0, trials=1, warm=warm).trials
    tried = trials[trials["family"] != "mean"]
    assert sorted(learnt) == sorted(zip(tried["family"], tried["cv_rmse"], strict=True))
