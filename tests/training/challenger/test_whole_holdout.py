"""Figures over all held-out rows of a table that memory does not hold are those of numpy on these rows at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from data.own_files import own_folder
from data.sources import open_source
from data.splits import split_table
from data.tables import load_kept
from serving.scorer import Scorer
from serving.scorer.same_bits import sessions
from tests.training.rows.test_streamed import CONFIG, arranged
from training.challenger import whole_holdout, write_version
from training.compiling import compile_verified, pack_frame
from training.console import silent
from training.errors import Terminated
from training.measuring import comparison
from training.measuring.whole_holdout import Tally, WholeHoldout
from training.models import build, fit
from training.rows import PreparedTable, thinned
from training.rows.again import held_out
from training.rows.parts import sampling
from training.time_budget import Budget

ROWS, MEAN = 6_000, 1.25
WEIGHTED = replace(CONFIG, weight="w")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Errors that follow a text, gaps, a rare text, some equal rows."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": random.normal(size=ROWS).round(4), "shop": random.choice(["Ulm", "Bonn"], ROWS)}
    )
    frame["w"] = random.integers(0, 3, ROWS).astype(float)
    spread = np.where(frame["shop"] == "Ulm", 3.0, 0.2)
    frame["y"] = 2.0 * frame["a"] + random.normal(size=ROWS) * spread
    frame.loc[::7, "a"], frame.loc[::501, "shop"], frame.loc[3:9, "y"] = np.nan, "Köln", np.nan
    return pd.concat([frame, frame[:300]], ignore_index=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training takes 400 rows to be judged by, which are read 500 at a time."""
    for name, value in {"CELLS_A_SECOND": 0, "LEAST_CELLS": 2_000, "JUDGED_A_SECOND": 0}.items():
        monkeypatch.setattr(thinned, name, value)
    monkeypatch.setattr(thinned, "LEAST_JUDGED", 400)
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    monkeypatch.setattr(held_out, "MOST_AT_ONCE", 500)
    monkeypatch.setattr(whole_holdout, "TRIED_ROWS", 50)
    monkeypatch.setattr(sessions, "PARTED_FROM", 300)


def version(rows: PreparedTable, folder: Path) -> Path:
    """Return the folder of a scorer with intervals, whose widths follow the row where all count the same."""
    sample, spec = rows.training(0), {"family": "ridge", "params": {}}
    fitted = fit(build(spec, rows.schema, seed=0), sample.frame, sample.target)
    compiled = compile_verified(fitted, schema=rows.schema, frame=sample.frame, target=sample.target)
    written = write_version(folder, fitted, spec, compiled, rows, seed=0, say=lambda *_: None, explain=False)
    assert written.scorer.intervals.adaptive or rows.checked.weight
    return folder


@dataclass
class Told:
    """A run and a console that keep what they are told."""

    metrics: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def log(self, metrics: Mapping[str, float]) -> None:
        self.metrics |= metrics

    def log_table(self, name: str, table: pd.DataFrame) -> None:
        self.lines.append(f"table {name}: {len(table)}")

    def job(self, seconds: float) -> Any:
        """What a training of so many seconds hands on."""
        return SimpleNamespace(
            run=self,
            say=lambda step, words: self.lines.append(f"{step}: {words}"),
            watch=silent,
            budget=Budget(seconds),
        )


WINNER: Any = SimpleNamespace(baseline=SimpleNamespace(predict=lambda frame: np.full(len(frame), MEAN)))


def judged(
    rows: PreparedTable, folder: Path, told: Told, low: float = 0.0, seconds: float = 60.0
) -> WholeHoldout | None:
    """Judge a scorer, as a training does, whose RMSE on the sample is about 1.5."""
    sample = comparison.Interval(1.5, low, 9.0)
    return whole_holdout.judge(told.job(seconds), rows, WINNER, folder, sample).figures


def write(frame: pd.DataFrame, path: Path) -> str:
    """Write Parquet in groups of a few rows."""
    frame.to_parquet(path, row_group_size=1_013, index=False)
    return str(path)


@dataclass(frozen=True)
class Reference:
    """All held-out rows at once, and what a scorer says of them."""

    frame: pd.DataFrame
    blocks: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    error: np.ndarray
    answers: np.ndarray
    scorer: Scorer

    @classmethod
    def of(cls, where: str, rows: PreparedTable, folder: Path) -> Reference:
        table = load_kept(open_source(where), {})
        table = table.take(~np.isnan(table.numbers("y")))
        weight = table.numbers("w") if rows.checked.weight else np.ones(len(table))
        split = split_table(table, rows.split.rule).of_counted(weight > 0.0)
        held = split.mask("holdout")
        frame, target, scorer = table.frame[held], table.numbers("y")[held], Scorer.load(folder)
        answers = scorer.predict_with_scale(pack_frame(frame, rows.schema))
        error = answers[:, 0] - target
        return cls(frame, split.blocks[held], target, weight[held], error, answers, scorer)

    def mean(self, values: np.ndarray) -> float:
        return float(np.average(values, weights=self.weight))

    def rmse(self, rows: np.ndarray) -> tuple[int, float]:
        squared = np.average(self.error[rows] ** 2, weights=self.weight[rows])
        return int(rows.sum()), float(np.sqrt(squared))


@pytest.fixture(params=[CONFIG, WEIGHTED], ids=["alike", "weight"])
def whole(
    frame: pd.DataFrame, tmp_path: Path, request: pytest.FixtureRequest
) -> tuple[Any, Told, Any, Reference]:
    """Return rows in parts, what was told, what was found of the whole holdout, and the same rows at once."""
    where, told = write(frame, tmp_path / "t.parquet"), Told()
    rows, _ = arranged(where, request.param, memory=1e9)
    folder = version(rows, tmp_path / "scorer")
    found = judged(rows, folder, told)
    assert found, told.lines
    every = Reference.of(where, rows, folder)
    return rows, told, found, every


def test_the_figures_are_those_of_all_held_out_rows_at_once(whole: tuple[Any, Told, Any, Reference]) -> None:
    """Errors, the mean's, coverage and slices by numpy, whose sums are rounded; redraws by the usual bootstrap."""
    rows, told, found, every = whole
    error, apart = every.error, every.target - MEAN
    metrics = {
        "all_holdout_rmse": np.sqrt(every.mean(error**2)),
        "all_holdout_mae": every.mean(np.abs(error)),
        "all_holdout_bias": every.mean(error),
        "all_holdout_r2": 1.0
        - every.mean(error**2) / every.mean((every.target - every.mean(every.target)) ** 2),
        "dummy_all_holdout_rmse": np.sqrt(every.mean(apart**2)),
        "rows_all_holdout": len(error),
    }
    for level in (0.5, 0.8, 0.9, 0.95):
        bounds = every.scorer.bounds(every.answers, level)
        inside = (bounds.lower <= every.target) & (every.target <= bounds.upper)
        metrics[f"all_holdout_interval_coverage_{100 * level:.0f}"] = every.mean(inside.astype(float))
    assert {name: told.metrics[name] for name in metrics} == pytest.approx(metrics, rel=1e-12, abs=1e-14)
    assert len(error) == rows.counts["holdout"] > rows.split.counts["holdout"]
    usual = comparison.estimate(
        every.target, every.answers[:, 0], every.blocks, every.weight / every.weight.mean()
    )
    assert found.rmse.half == pytest.approx(usual["rmse"].half, rel=0.1)
    assert told.metrics["all_holdout_rmse_low"] < found.rmse.value < told.metrics["all_holdout_rmse_high"]
    assert [line for line in told.lines if line.startswith("evaluate: all")][1:] == [told.lines[-1]]

    slices = {name: (count, rmse) for name, count, rmse in found.slices.itertuples(index=False)}
    for shop in ("Ulm", "Bonn"):
        assert slices.pop(f"shop = {shop}") == pytest.approx(
            every.rmse((every.frame["shop"] == shop).to_numpy())
        )
    edges, a = rows.frame("holdout")["a"].quantile([0.25, 0.5, 0.75]), every.frame["a"].to_numpy()
    quarters = np.where(np.isnan(a), -1, np.digitize(a, edges, right=True))
    numbers = [value for name, value in slices.items() if name.startswith("a in (")]
    expected = sorted(every.rmse(quarters == quarter) for quarter in range(4))
    assert [*map(list, sorted(numbers))] == [pytest.approx(each) for each in map(list, expected)]


def test_the_figures_are_those_of_scikit_learn_and_of_each_redraw_of_rows(
    whole: tuple[Any, Told, Any, Reference],
) -> None:
    """Each of the 2,000 redraws gives each row of the whole holdout a weight, in place of sums by hash."""
    _, told, found, every = whole
    given, weights = (every.target, every.answers[:, 0]), {"sample_weight": every.weight}
    scores = {
        "rmse": root_mean_squared_error(*given, **weights),
        "mae": mean_absolute_error(*given, **weights),
        "r2": r2_score(*given, **weights),
    }
    names = [f"all_holdout_{name}" for name in scores]
    assert [told.metrics[name] for name in names] == pytest.approx([*scores.values()], rel=1e-12)

    together = thinned.mixed(every.blocks) >> np.uint64(52)  # twelve bits: equal rows are drawn together
    random, redrawn = np.random.default_rng(0), []
    for _ in range(2_000):
        times = every.weight * random.poisson(1.0, 4_096)[together]
        redrawn.append(np.sqrt(np.average(every.error**2, weights=times)))
    spread = np.std(redrawn, ddof=1)
    assert found.rmse.standard_error == pytest.approx(spread, rel=1e-9)
    by_hash = np.bincount(together, every.weight, minlength=4_096)
    freedom = int(by_hash.sum() ** 2 / (by_hash**2).sum()) - 1
    factor = np.exp(stats.t.ppf(0.975, freedom) * spread / scores["rmse"])
    ends = [told.metrics[f"all_holdout_rmse_{end}"] for end in ("se", "low", "high")]
    assert ends == pytest.approx([spread, scores["rmse"] / factor, scores["rmse"] * factor], rel=1e-9)


def test_neither_order_nor_files_nor_a_file_between_change_a_bit(frame: pd.DataFrame, tmp_path: Path) -> None:
    """A database gives its rows as it likes; a line that reads all rows writes the held-out ones beside."""
    one, told = write(frame, tmp_path / "t.parquet"), Told()
    rows, _ = arranged(one, memory=1e9)
    folder = version(rows, tmp_path / "scorer")
    first = judged(rows, folder, told)
    shuffled = frame.sample(frac=1.0, random_state=1)
    (tmp_path / "many").mkdir()
    for place in range(3):
        write(shuffled[place::3], tmp_path / "many" / f"{place}.parquet")
    again, _ = arranged(str(tmp_path / "many"), memory=1e9)
    assert again.held_out
    assert again.everything
    files = set(Path(own_folder()).iterdir())
    learned = sum(len(target) for _, target in again.held_out.beside(again.everything).parts())
    assert (learned, again.held_out.reading_seconds) == (again.counts["train"], 0.0)
    for path in (tmp_path / "many").iterdir():
        path.unlink()
    second = judged(again, folder, told)
    assert first
    assert second
    assert (first.scores, first.rmse, first.coverage) == (second.scores, second.rmse, second.coverage)
    pd.testing.assert_frame_equal(first.slices, second.slices, check_exact=True)
    assert set(Path(own_folder()).iterdir()) <= files


def test_whatever_goes_wrong_is_said_and_leaves_the_training_alone(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that others wrote meanwhile, a Ctrl-C, a full disk: the version has the sample's figures."""
    where, told = tmp_path / "t.csv", Told()
    frame.to_csv(where, index=False)
    rows, _ = arranged(str(where), memory=1e9)
    folder = version(rows, tmp_path / "scorer")
    assert rows.held_out
    assert rows.everything
    monkeypatch.setattr(held_out, "packed", lambda *_: 1 / 0)
    assert list(rows.held_out.beside(rows.everything).parts())  # the line learns all the same
    assert judged(rows, folder, told) is None
    monkeypatch.undo()
    frame[1:].to_csv(where, index=False)
    assert judged(rows, folder, told) is None
    for error in (KeyboardInterrupt, Terminated):
        monkeypatch.setattr(Tally, "add", raising(error))
        with pytest.raises(Terminated) if error is Terminated else nullcontext():
            assert judged(rows, folder, told) is None
    said = [
        line.removeprefix("warning: figures over all held-out rows are left out: ") for line in told.lines
    ]
    assert said[1] == "division by zero", said
    assert "has other rows, or another order of them" in said[3], said
    assert said[4] == "interrupted"
    assert not told.metrics


def test_a_model_that_is_too_slow_for_all_rows_is_not_asked(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Nobody would wait for hours for figures that decide nothing."""
    told = Told()
    rows, _ = arranged(write(frame, tmp_path / "t.parquet"), memory=1e9)
    assert rows.held_out
    rows.held_out.first_seconds = 0.0
    assert judged(rows, version(rows, tmp_path / "scorer"), told, seconds=1e-6) is None
    assert "0 s are allowed: time_budget and one reading of the table" in told.lines[-1]


def raising(error: type[BaseException]) -> Callable[..., None]:
    """Return what raises."""

    def add(*_: object) -> None:
        raise error

    return add


def test_a_sample_that_all_rows_contradict_is_told(frame: pd.DataFrame, tmp_path: Path) -> None:
    """The gate goes by it."""
    told = Told()
    rows, _ = arranged(write(frame, tmp_path / "t.parquet"), memory=1e9)
    assert judged(rows, version(rows, tmp_path / "scorer"), told, low=8.0)
    assert "lies outside the 95 % interval of their sample, 1.500 [8.000, 9.000]" in told.lines[-1]


def test_a_table_that_memory_holds_has_no_other_figures(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Its holdout is judged whole."""
    told = Told()
    rows, _ = arranged(write(frame, tmp_path / "t.parquet"))
    assert judged(rows, tmp_path, told) is None
    assert told == Told()
