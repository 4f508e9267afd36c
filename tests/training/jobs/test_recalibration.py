"""New intervals from a table that holds rows which the version has learned."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline

from data.splits import SplitRule, split_table
from data.tables import Table, describe
from serving.scorer import Scorer
from tests.conftest import Workspace
from training.__main__ import main
from training.compiling import compile_verified, pack_frame, write_scorer
from training.measuring import conformal
from training.records import ledger, model_registry, tag_names
from training.rows.known import learned
from training.rows.parts import sampling
from training.versions import flavor

FEATURES = ["a", "b", "c"]
RULE = SplitRule("hash", ("id",), salt="homes", keyed=True)


def homes(n: int, seed: int) -> pd.DataFrame:
    """Rows with an id each, half of whose spread nobody can know."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n, 3)), columns=FEATURES)
    frame["y"] = frame["a"] + np.abs(frame["b"]) + random.normal(size=n)
    return frame.assign(id=np.arange(n) + 1e6 * seed)


@pytest.fixture
def known(tracking: Workspace) -> pd.DataFrame:
    """The table of a registered version, a forest that knows the rows which it learned nearly by heart."""
    frame = homes(1_500, 1)
    table = Table("homes", frame, dict.fromkeys(frame, "number"))
    split, schema = split_table(table, RULE), describe(table, FEATURES, target="y")
    places = np.flatnonzero(split.mask("train"))
    rows, target = frame[FEATURES].iloc[places], frame["y"].to_numpy()
    model = make_pipeline(RandomForestRegressor(20, random_state=0)).fit(rows, target[places])
    compiled = compile_verified(model, schema=schema, frame=rows, target=target[places])
    held = split.mask("calibration")
    absolute = np.abs(target - model.predict(frame[FEATURES]))[held]
    made = conformal.one_width(
        conformal.Residuals(frame[FEATURES][held], absolute, split.blocks[held], None, "calibration")
    )
    assert made is not None
    folder = tracking.folder / "scorer"
    write_scorer(
        folder,
        graph=compiled.graph,
        schema=schema,
        frame=rows,
        fingerprint="0" * 32,
        parity=compiled.parity,
        intervals=made.table,
    )
    sketch = learned.sketch_of(table, schema, places, salt="0" * 32, of=len(places))
    with mlflow.start_run() as run:
        logged = flavor.log_version(
            model,
            schema=schema,
            scorer_folder=folder,
            input_example=rows.head(3),
            learned=sketch.as_dict(),
        )
    tags = model_registry.describe_rows(split, schema, "0" * 32) | {tag_names.DIGEST: logged.digest}
    model_registry.register("homes", logged, run_id=run.info.run_id, tags=tags, description="")
    version = model_registry.version("homes", "1")
    ledger.record(ledger.settle("homes"), version, kind="promotion", reason="the first")
    return frame


def recalibrated(frame: pd.DataFrame, *words: str) -> int:
    """Make intervals anew from rows; return the exit code."""
    frame.to_csv("rows.csv", index=False)
    return main(["recalibrate", "--name", "homes", "--data", "rows.csv", *words])


def coverage(number: str) -> float:
    """Return which share of many new rows lies within a version's intervals of 90 %."""
    rows = homes(20_000, 9)
    version = model_registry.version("homes", number)
    scorer = Scorer.load(version.scorer_folder)
    answers = scorer.predict_with_scale(pack_frame(rows[FEATURES], scorer.schema))
    intervals = scorer.document.intervals
    assert intervals is not None
    reach = intervals.quantile[intervals.coverage.index(0.9)] * answers[:, 1]
    return float((np.abs(rows["y"] - answers[:, 0]) <= reach).mean())


def test_intervals_keep_their_promise_where_the_table_of_the_training_is_among_the_rows(
    known: pd.DataFrame, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the learned rows 90 % intervals hold some 70 % of rows to come; fresh rows are used as they are."""
    both = pd.concat([known, homes(300, 2)])
    capsys.readouterr()
    assert recalibrated(both) == 0
    said = capsys.readouterr().out
    assert "homes version 1 has learned 58 % of the rows of rows.csv" in said
    assert recalibrated(homes(600, 3)) == 0
    assert "learned" not in capsys.readouterr().out
    with monkeypatch.context() as before:
        before.setattr(learned, "left_out", lambda _, table, *__, **___: table)
        assert recalibrated(both) == 0
    assert coverage("2") == pytest.approx(0.9, abs=0.04)
    assert coverage("3") == pytest.approx(0.9, abs=0.04)
    assert coverage("4") < 0.8
    versions = [model_registry.version("homes", number) for number in "12"]
    first, copied = ((version.folder / flavor.LEARNED).read_bytes() for version in versions)
    assert first == copied


def test_a_table_that_memory_does_not_hold_is_looked_at_too(
    known: pd.DataFrame, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the sample that is gone on with."""
    monkeypatch.setattr(sampling, "LEAST_CELLS", 4_000)
    assert recalibrated(pd.concat([known, homes(300, 2)]), "--memory", "0.001MB") == 0
    said = capsys.readouterr().out
    assert "of 1,800 rows: the table is read in parts" in said
    assert "homes version 1 has learned 60 % of the rows of rows.csv" in said
    assert coverage("2") == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("lacking", ["id", "held out"])
def test_learned_rows_that_cannot_be_told_from_the_others_are_refused(
    known: pd.DataFrame, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    """One line says how many there are, and why they cannot be left out."""
    table = Table("homes", known, dict.fromkeys(known, "number"))
    only = known[split_table(table, RULE).mask("train")]
    assert recalibrated(known.drop(columns="id") if lacking == "id" else pd.concat([only, homes(20, 2)])) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "has rows that homes version 1 has learned" in line
    assert ("column 'id'" if lacking == "id" else "20 are needed") in line


def test_rows_under_new_keys_are_known_again(known: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    """Their split would deal them anew, and hold out some that were learned."""
    assert recalibrated(known.assign(id=known["id"] + 0.5)) == 2
    assert "it has learned 7" in capsys.readouterr().err


def test_of_a_version_without_a_sketch_it_is_said_that_nobody_knows(
    known: pd.DataFrame, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on as before."""
    monkeypatch.setattr(learned, "_path", lambda _: Path("absent"))
    assert recalibrated(pd.concat([known, homes(300, 2)])) == 0
    said = capsys.readouterr().out
    assert "whether homes version 1 learned some of these rows cannot be told: it was made before" in said
    assert "with intervals from 1,800 rows" in said


def test_a_version_that_is_watched_on_rows_that_it_learned_says_so(
    known: pd.DataFrame,
) -> None:
    """Errors on them are too small to raise an alarm."""
    version = model_registry.version("homes", "1")
    said: list[str] = []
    table = Table("rows.csv", known, dict.fromkeys(known, "number"))
    learned.warn(version, table, lambda _, words: said.append(words))
    assert "homes version 1 has learned 69 % of the rows of rows.csv" in said[0]
    fresh = homes(500, 2)
    learned.warn(
        version, Table("t", fresh, dict.fromkeys(fresh, "number")), lambda _, words: said.append(words)
    )
    assert len(said) == 1
