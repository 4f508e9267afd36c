"""Which candidate is preferred, and what a blend is made of."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.search.searched_rows import Floats, rows_of
from training.models import portfolio
from training.search.candidates import WORTH, Candidate, blended, judged, simplest
from training.search.cross_validation import TrainingRows
from training.search.race import Race
from training.time_budget import Budget


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
    less_near = candidate(other, rows, 1.02 * noise[1] / noise[1].std())
    assert simplest([blend, less_near], rows).family == "blend"
    assert simplest([blend, less_near], rows, np.inf).family == wins, "within one standard error"
    far = candidate(other, rows, 2.0 * noise[1])
    assert simplest([blend, far], rows).family == "blend"


def test_a_blend_leaves_out_who_adds_next_to_nothing(rows: TrainingRows) -> None:
    """It would cost its time with every row."""
    noise = np.random.default_rng(6).normal(size=(4, 2_000))
    apart = {"boosting": noise[0] + 0.05 * noise[2], "lightgbm": noise[1]}
    twin = {"extra_trees": noise[0] + 0.05 * noise[3]}
    (blend,) = blended([candidate(family, rows, errors) for family, errors in (apart | twin).items()], rows)
    (two,) = blended([candidate(family, rows, errors) for family, errors in apart.items()], rows)
    families = {member["family"] for member in blend.spec["members"]}
    assert len(families) == 2
    assert families - {"boosting", "extra_trees"} == {"lightgbm"}
    assert sum(blend.spec["weights"]) == pytest.approx(1.0)
    assert blend.cv_rmse == pytest.approx(two.cv_rmse, rel=2 * WORTH)


def test_a_blend_that_may_be_too_slow_is_followed_by_one_without_what_compares_rows(
    rows: TrainingRows,
) -> None:
    """Support vectors on hundreds of categories took 1,901 us a row: a blend of three gave way to a single forest."""
    found = Race(rows, portfolio.Task.of(rows.target, rows.schema, None), Budget())
    noise = np.random.default_rng(6).normal(size=(3, 2_000))
    for family, errors in zip(("support_vectors", "forest", "lightgbm"), noise, strict=True):
        found.candidates.append(candidate(family, rows, errors))
    families = [{member["family"] for member in each.spec.get("members", [])} for each in found.ranked()]
    assert families[:2] == [{"support_vectors", "forest", "lightgbm"}, {"forest", "lightgbm"}]
    assert not any(families[2:])
