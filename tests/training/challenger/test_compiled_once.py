"""Choosing fits and compiles nothing on all rows; what was chosen is compiled once, its intervals with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule
from data.tables import Table
from training.challenger import making
from training.commands import trainings
from training.compiling import compiler, pack_frame
from training.rows import arrange
from training.search.choosing import choose
from training.search.winner import winner_of
from training.time_budget import Budget


def test_a_model_is_compiled_once_and_its_intervals_scale_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The nodes of the chosen pipeline are made once, then written without and with the scale."""
    random = np.random.default_rng(0)
    x = random.uniform(0.0, 10.0, 3_000)
    frame = pd.DataFrame({"x": x, "y": 3.0 * x + random.normal(0.0, 0.1 + x)})
    table = Table("t", frame, {"x": "number", "y": "number"})
    config = trainings.TrainConfig("t", "y")
    rows = arrange(table, SplitRule("hash", ("x",)), config, lambda *_: None)
    compile_whole, seen = compiler._whole, []

    def counted(pipeline, *where):
        seen.append(pipeline)
        return compile_whole(pipeline, *where)

    monkeypatch.setattr(compiler, "_whole", counted)
    training = rows.training(0)
    choice = choose(training, budget=Budget(1.0, 1))
    assert seen == []
    winner = winner_of(choice, training)
    written = making.write_version(
        tmp_path, winner.fitted, winner.spec, winner.compiled, rows, seed=0, say=lambda *_: None
    )
    assert written.scorer.document.intervals.adaptive
    assert len(seen) == 2, "the model and the scale of its intervals"
    assert seen[0] is winner.fitted
    held_out, packed = making.HeldOut.of(rows, written.scorer), pack_frame(rows.frame("holdout"), rows.schema)
    answers = held_out.answers[held_out.judged]
    assert answers[:, 0].tobytes() == written.scorer.predict(packed).tobytes(), "what the gate is handed"
    assert answers[:, 1].tobytes() == written.scorer.predict_with_scale(packed)[:, 1].tobytes()
