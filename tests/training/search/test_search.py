"""The search: what it tries, what it leaves, what it prefers, and how near it comes to the noise."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from benchmarks.accuracy import GENERATORS
from tests.training.search.searched_rows import Floats, chosen, rows_of
from training.compiling import cost
from training.models import portfolio, ranges
from training.search import race
from training.search.candidates import Candidate, blend_weights, judged
from training.search.choosing import Callbacks
from training.search.cross_validation import FoldResult, TrainingRows
from training.search.processes import Pool
from training.search.winner import winner_of
from training.time_budget import Budget


@pytest.fixture(scope="module")
def curved() -> TrainingRows:
    """A product of two columns, which no line follows."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (600, 3))
    return rows_of(x, x[:, 0] * x[:, 1] + random.normal(0.0, 0.1, 600))


def test_blend_weights_come_near_the_best_that_non_negative_weights_can_do() -> None:
    """The reference is scipy's non-negative least squares with the sum held at 1 by a heavy row."""
    random = np.random.default_rng(0)
    target = random.normal(size=2_000)
    predicted = np.column_stack([target + random.normal(0.0, spread, 2_000) for spread in (0.5, 0.7, 1.5)])
    weights = blend_weights(predicted, target)
    heavy = 1e4
    reference, _ = nnls(np.vstack([predicted, np.full(3, heavy)]), np.append(target, heavy))
    assert weights.min() >= 0.0
    assert weights.sum() == pytest.approx(1.0)

    def error(by: Floats) -> float:
        return float(np.mean((predicted @ by - target) ** 2))

    assert error(weights) <= 1.01 * error(reference)


def test_the_champions_settings_are_tried_first(curved: TrainingRows) -> None:
    """A retrain starts where the last one ended."""
    warm = {"family": "boosting", "params": {"max_iter": 37}}
    tried = chosen(curved, trials=1, warm=warm).trials
    assert list(tried["family"]) == ["mean", "boosting", "ridge", "boosting"]
    assert tried["params"][1] == '{"max_iter": 37}'


def test_a_model_that_is_too_large_leaves_and_the_next_best_takes_its_place(
    curved: TrainingRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The budget of a scorer is kept by the search, not found out by the server."""
    assert chosen(curved).best.family == "boosting"
    monkeypatch.setattr(cost, "MOST_BYTES", 20_000)
    refused: list[tuple[Candidate, Exception]] = []
    winner = winner_of(chosen(curved), curved, refusal=lambda *words: refused.append(words))
    assert winner.family in ("ridge", "mean")
    assert "bytes, at most 20,000" in str(refused[0][1])


def test_predictions_keep_the_directions_that_the_user_gave(curved: TrainingRows) -> None:
    """Monotonic in x0 though the rows are not."""
    choice = chosen(curved, trials=2, monotonic={"x0": 1})
    winner = winner_of(choice, curved)
    assert winner.family in ("boosting", "mean")
    at = pd.DataFrame({"x0": np.linspace(-2, 2, 50), "x1": 1.5, "x2": 0.0})
    assert (np.diff(winner.fitted.predict(at)) >= -1e-12).all()


@pytest.fixture
def interruptible() -> Iterator[object]:
    """Python's own handler of Ctrl-C: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_python_drops_still_ends_the_search(
    curved: TrainingRows, interruptible: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal raises within a destructor is only printed; the trials so far are used all the same."""

    class Closing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    def dropped(*_: object) -> dict[str, object]:
        Closing()  # gone at once
        return {"family": "ridge", "params": {}}

    monkeypatch.setattr(portfolio, "first", lambda _: iter([{"family": "ridge", "params": {}}]))
    monkeypatch.setattr(ranges, "proposed", dropped)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    before, told = interruptible, []
    choice = chosen(curved, trials=50, seconds=20.0, callbacks=Callbacks(interrupted=told.append))
    assert told == [len(choice.trials)]
    assert len(choice.trials) < 10
    assert signal.getsignal(signal.SIGINT) is before


def test_a_sample_keeps_the_folds_apart(curved: TrainingRows) -> None:
    """What was validated in a fold is never fitted in it, in the sample as in the whole."""
    sample = curved.sample(200)
    assert len(sample.target) == 200
    for fit, validate in sample.folds:
        assert not set(fit) & set(validate)
        assert len(fit) + len(validate) == 200


def test_a_process_that_dies_is_replaced_and_its_trial_given_up(curved: TrainingRows) -> None:
    """A fit that takes the memory ends its process; the search goes on."""
    results: list[FoldResult] = []

    def watch(result: FoldResult) -> bool:
        results.append(result)
        return True

    with Pool(curved, 1) as pool:
        pool.give({"family": "nonsense"}, watch)
        while not results:
            pool.listen(30.0)
        assert "died" in results.pop().failure
        pool.give({"family": "ridge"}, watch)
        while pool.busy:
            pool.listen(30.0)
    assert [result.fold for result in results] == [0, 1, 2, 3]
    assert not multiprocessing.active_children()


@pytest.mark.soak
@pytest.mark.parametrize("name", ["friedman1", "heteroscedastic"])
def test_the_error_comes_near_the_noise(name: str) -> None:
    """The optimum is known; `python -m benchmarks.accuracy` says how near a whole budget comes."""
    table, noise = GENERATORS[name](6_000)
    rows = rows_of(table.drop(columns="y").to_numpy(), table["y"].to_numpy(), folds=5)
    assert chosen(rows, seconds=30.0, trials=8).best.cv_rmse < 1.25 * noise


@pytest.mark.parametrize(("power", "plain"), [(1, True), (1.02, True), (2, False)])
def test_few_rows_end_a_search_where_nothing_is_better_than_a_line(
    monkeypatch: pytest.MonkeyPatch, power: float, plain: bool
) -> None:
    """200 rows of y = 3x searched for as long as any, and a line was chosen all the same."""
    x = np.linspace(1.0, 5.0, 200)[:, None]
    rows = rows_of(x, 3.0 * x[:, 0])
    found = race.Race(rows, portfolio.Task.of(rows.target, rows.schema, None), Budget())
    noise = np.random.default_rng(0).normal(0.0, 0.1, 200)
    errors = dict.fromkeys(("boosting", "lightgbm", "process", "support_vectors"), noise)
    errors = {"ridge": noise[::-1] * power, "lasso": noise[::-1] * power, **errors}
    for place, (family, error) in enumerate(errors.items(), start=1):
        found._finish(
            judged({"family": family, "params": {}}, rows.target + error, rows, 0.1), lambda _: None
        )
        assert found._is_enough == (plain and place == len(errors))
    assert ("better than a line" in found.end) == plain
