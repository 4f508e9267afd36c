"""A line is the same version, byte for byte, whether memory held its table or not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.rows.test_streamed import arranged
from training.challenger import write_version
from training.compiling import compile_verified
from training.models import all_rows, build, fit
from training.rows import PreparedTable, prepared, thinned
from training.rows.parts import sampling

RIDGE = {"family": "ridge", "params": {}}


def digest_of(rows: PreparedTable, folder: Path) -> str:
    """Return the digest of a ridge that learned a sample and then all rows."""
    sample = rows.training(0)
    assert rows.everything is not None
    assert rows.everything.count > sample.size
    fitted = fit(build(RIDGE, rows.schema, seed=0), sample.frame, sample.target)
    assert all_rows.learn_all(fitted, rows.everything, sample.target)
    compiled = compile_verified(fitted, schema=rows.schema, frame=sample.frame, target=sample.target)
    folder.mkdir()
    return write_version(
        folder, fitted, RIDGE, compiled, rows, seed=0, say=lambda *_: None, explain=False
    ).scorer.digest


def test_a_table_that_both_can_take_gives_a_line_the_same_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample follows from the content, and sums that are exact follow from neither order nor parts."""
    for name, value in {"CELLS_A_SECOND": 0, "LEAST_CELLS": 600, "JUDGED_A_SECOND": 0}.items():
        monkeypatch.setattr(thinned, name, value)
    monkeypatch.setattr(thinned, "LEAST_JUDGED", 60)
    monkeypatch.setattr(sampling, "LEAST_CELLS", 0)
    monkeypatch.setattr(prepared, "AT_ONCE", 111)
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.normal(size=900), "shop": random.choice(["Ulm", "Bonn"], 900)})
    frame["y"] = 3.0 * frame["a"] + (frame["shop"] == "Ulm") + random.normal(size=900)
    where = tmp_path / "t.parquet"
    frame.to_parquet(where, row_group_size=97, index=False)
    (held, _), (parts, _) = arranged(str(where)), arranged(str(where), memory=1e9)
    assert digest_of(held, tmp_path / "held") == digest_of(parts, tmp_path / "parts")
