"""What the gate asks a version, and what it takes from whoever has asked it before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.splits import SplitRule, split_table
from data.tables import Table
from training.gate import Answered, Trial

RULE = SplitRule("hash", ("x",))


def version(asked: list[int]) -> Any:
    """A version that predicts 7, and notes of how many rows it was asked."""

    def predict(frame: pd.DataFrame) -> np.ndarray:
        asked.append(len(frame))
        return np.full(len(frame), 7.0)

    return SimpleNamespace(
        digest="its own",
        split=RULE,
        target="y",
        weight="",
        schema=SimpleNamespace(names=["x"], target_unit=""),
        held_out=lambda table: split_table(table, RULE).mask("holdout"),
        predict=predict,
    )


@pytest.mark.parametrize("known", ["all", "none", "fewer rows", "another version's"])
def test_a_version_is_asked_of_the_holdout_once(known: str) -> None:
    """Where the same files have answered exactly these rows; the last bits depend on which rows go together."""
    table = Table(
        "t", pd.DataFrame({"x": np.arange(300.0), "y": np.arange(300.0)}), {"x": "number", "y": "number"}
    )
    held_out, asked = split_table(table, RULE).mask("holdout"), []
    rows = held_out & (np.arange(300) > 20) if known == "fewer rows" else held_out
    digest = "another" if known == "another version's" else "its own"
    answered = None if known == "none" else Answered(digest, rows, np.full(int(rows.sum()), 3.0))
    trial = Trial.of(version(asked), None, table, answered)
    assert (asked == []) == (known == "all")
    assert set(trial.ours) == ({3.0} if known == "all" else {7.0})
    assert len(trial.ours) == len(trial.actual) == held_out.sum()
