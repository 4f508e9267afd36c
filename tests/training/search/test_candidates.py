"""Which candidate is preferred, and what a blend is made of."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.search.test_search import Floats, rows_of
from training.search.candidates import LEAST_WEIGHT, Candidate, blended, judged, simplest
from training.search.cross_validation import TrainingRows


@pytest.fixture(scope="module")
def rows() -> TrainingRows:
    """Whose target is noise."""
    random = np.random.default_rng(4)
    return rows_of(random.normal(size=(2_000, 2)), random.normal(size=2_000))


def candidate(family: str, rows: TrainingRows, errors: Floats) -> Candidate:
    """Return one with such errors."""
    return judged({"family": family, "params": {}}, rows.target + errors, rows, 0.1)


@pytest.mark.parametrize(("other", "wins"), [("lightgbm", "blend"), ("ridge", "ridge")])
def test_a_line_is_preferred_to_a_blend_that_is_hardly_better_and_trees_are_not(
    other: str, wins: str, rows: TrainingRows
) -> None:
    """The best of many trials is too good by its choice, a blend is not: its weights come from other folds."""
    noise = np.random.default_rng(5).normal(size=(2, 2_000))
    blend, near = (
        candidate("blend", rows, noise[0] / noise[0].std()),
        candidate(other, rows, 1.001 * noise[1] / noise[1].std()),
    )
    assert simplest([blend, near], rows).family == wins
    far = candidate(other, rows, 2.0 * noise[1])
    assert simplest([blend, far], rows).family == "blend"


def test_a_blend_leaves_out_what_weighs_little(rows: TrainingRows) -> None:
    """It would cost its time with every row."""
    noise = np.random.default_rng(6).normal(size=(3, 2_000))
    members = [
        candidate(family, rows, spread * each)
        for family, spread, each in zip(
            ("boosting", "lightgbm", "forest"), (1.0, 1.0, 4.5), noise, strict=True
        )
    ]
    (blend,) = blended(members, rows)
    assert [member["family"] for member in blend.spec["members"]] == ["boosting", "lightgbm"]
    assert sum(blend.spec["weights"]) == pytest.approx(1.0)
    assert min(blend.spec["weights"]) >= LEAST_WEIGHT
    assert blend.cv_rmse < min(member.cv_rmse for member in members)
