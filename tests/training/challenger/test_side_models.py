"""No training is lost to a model beside the main one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.schema import Schema
from data.tables import Table, describe
from serving.scorer.scoring import Scorer
from tests.training.measuring.intervals.residual_rows import residuals_on
from training.challenger import making
from training.compiling import compile_verified, with_scale
from training.compiling.errors import UncompilableStep
from training.measuring.intervals.conformal import calibrate
from training.models.families import build

NAMES = ["x", "shop"]


@pytest.fixture(scope="module")
def shops() -> tuple[pd.DataFrame, np.ndarray, Schema]:
    """3,000 rows whose noise grows with x; eight shops occur once, in the second half alone."""
    random = np.random.default_rng(0)
    x = random.uniform(0.0, 10.0, 3_000)
    shop = random.choice(["Ulm", "Bonn", "Jena"], 3_000).astype(object)
    shop[-8:] = [f"only {number}" for number in range(8)]
    y = 3.0 * x + random.normal(0.0, 0.1 + x)
    frame = pd.DataFrame({"x": x, "shop": pd.Series(shop, dtype=object), "y": y})
    table = Table("t", frame.head(1_500), {"x": "number", "shop": "category", "y": "number"})
    return frame[NAMES], y, describe(table, NAMES, target="y")


def test_categories_that_only_calibration_rows_have_do_not_end_a_training(shops) -> None:
    """The scale model learned them, and its graph could not name them: nothing was registered."""
    frame, y, schema = shops
    train, calibration = frame[:1_500], frame[1_500:]
    model = build({"family": "ridge"}, schema, seed=0).fit(train, y[:1_500])
    found = calibrate(
        residuals_on(calibration, np.abs(y[1_500:] - model.predict(calibration))), schema, seed=0
    )
    assert found.scale is not None
    assert found.table.rows == 1_500, "the rows with unseen shops count for the promise"
    compiled = compile_verified(model, schema=schema, frame=train, target=y[:1_500])
    with_scale(compiled, found.scale, frame=train)


def test_a_scale_model_that_cannot_be_had_makes_one_width_for_all(shops, monkeypatch, tmp_path) -> None:
    """The version is written, and a warning says why its widths do not follow the row."""
    frame, y, schema = shops
    frame, y = frame[:1_500], y[:1_500]
    model = build({"family": "ridge"}, schema, seed=0).fit(frame, y)
    compiled = compile_verified(model, schema=schema, frame=frame, target=y)
    monkeypatch.setattr(
        making.conformal,
        "residuals_of",
        lambda *_, **__: residuals_on(frame, np.abs(y - model.predict(frame))),
    )

    def cannot(*_: object, **__: object) -> None:
        raise UncompilableStep(step="Odd", reason="unknown")

    monkeypatch.setattr(making, "with_scale", cannot)

    class Given:
        fingerprint, moments = "0" * 32, None

        def frame(self, _side: str) -> pd.DataFrame:
            return frame

    rows, said = Given(), []
    rows.schema = schema
    scorer = making.write_version(
        tmp_path, model, {}, compiled, rows, seed=0, say=lambda *words: said.append(words)
    ).scorer
    assert isinstance(scorer, Scorer)
    assert scorer.document.intervals is not None
    assert not scorer.document.intervals.adaptive
    ((step, text),) = said
    assert step == "warning"
    assert "one width for all rows" in text
    assert "Odd" in text
