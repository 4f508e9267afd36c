"""How specifications showed in cross-validation: their errors, which of them is preferred, and how they blend.

The mean or a line is preferred to what is hardly better. It fits nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from training.models import Spec, portfolio
from training.search.cross_validation import Folds, TrainingRows
from training.weights import Weight, mean, of, spread

BLEND_STEPS, WORTH, MOST_MEMBERS = 40, 0.001, 12
"""Steps of a blend's weights, and its members at most. A member without which its error is higher by less than this
share is left out: each costs time, where the version is compiled and proven, and with every row that is scored."""

SIMPLICITY = {"mean": 0, **dict.fromkeys(portfolio.LINEAR, 1), "blend": 3}
"""Two for every other family."""

LINES, HARDLY = 1, 1.01
"""Up to this level a model is preferred for being simple; a line, if its error is larger by this factor at most. A
blend's error is that of weights found on other folds, a single one's is the best of many: no more is asked of it."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """One specification's showing.

    Attributes
    ----------
    cv_rmse, cv_rmse_se : float
        Over all validated rows, and its standard error, in the target's unit.
    fit_seconds : float
        All folds together.
    seconds_a_row : float
        Of one fit, for each row that it learned from.
    learned : int
        Rows that the largest of its folds learned from.
    out_of_fold : float64 array of shape (n_rows,)
        Predictions of rows it was not fitted on; NaN where never validated.
    """

    spec: Spec = field(repr=False)
    cv_rmse: float
    cv_rmse_se: float
    fit_seconds: float
    out_of_fold: Floats = field(repr=False)
    seconds_a_row: float = 0.0
    learned: int = 0

    @property
    def family(self) -> str:
        """The family's name."""
        return str(self.spec["family"])

    @property
    def level(self) -> int:
        """How far it is from simple."""
        return SIMPLICITY.get(self.family, 2)

    def as_metrics(self) -> dict[str, float]:
        """Return the figures under their MLflow names."""
        return {"cv_rmse": self.cv_rmse, "cv_rmse_se": self.cv_rmse_se, "fit_seconds": self.fit_seconds}


def judged(spec: Spec, out_of_fold: Floats, rows: TrainingRows, seconds: float) -> Candidate:
    """Return a specification's showing, from predictions of shape (n_rows,)."""
    known = np.isfinite(out_of_fold)
    squared, weight = (out_of_fold[known] - rows.target[known]) ** 2, of(rows.weight, known)
    rmse = float(np.sqrt(mean(squared, weight)))
    standard_error = float(spread(squared, weight) / (2.0 * rmse * np.sqrt(squared.size))) if rmse else 0.0
    learned = [len(fit) for fit, validate in rows.folds if known[validate].any()]
    each = seconds / max(sum(learned), 1)
    return Candidate(spec, rmse, standard_error, seconds, out_of_fold, each, max(learned, default=0))


def simplest(ordered: Sequence[Candidate], rows: TrainingRows, at_most: float = HARDLY) -> Candidate:
    """Return the mean or a line within one standard error of the best, a line of hardly a larger error; or the best."""
    best = ordered[0]
    for level in range(min(best.level, LINES + 1)):
        rival = next((candidate for candidate in ordered if candidate.level == level), None)
        if rival is None or (level == LINES and rival.cv_rmse > at_most * best.cv_rmse):
            continue
        known = np.isfinite(best.out_of_fold) & np.isfinite(rival.out_of_fold)
        ours, theirs = ((each.out_of_fold[known] - rows.target[known]) ** 2 for each in (best, rival))
        worse, weight = theirs - ours, of(rows.weight, known)
        if mean(worse, weight) <= spread(worse, weight) / np.sqrt(worse.size):
            return rival
    return best


def best_of_families(ordered: Iterable[Candidate]) -> list[Candidate]:
    """Return the first of each family."""
    best: dict[str, Candidate] = {}
    for candidate in ordered:
        best.setdefault(candidate.family, candidate)
    return list(best.values())


def blended(members: Sequence[Candidate], rows: TrainingRows) -> list[Candidate]:
    """Return their blend, if two take part, judged by weights found on the other folds; nothing otherwise."""
    if len(members) < 2:
        return []
    predicted = np.column_stack([member.out_of_fold for member in members])
    known = np.asarray(np.isfinite(predicted).all(axis=1))
    places, weights = _worth_their_time(rows, predicted, known)
    members, predicted = [members[place] for place in places], predicted[:, places]
    used = [(member, float(weight)) for member, weight in zip(members, weights, strict=True) if weight]
    if len(used) < 2:
        return []
    crossed = np.full(rows.size, np.nan)
    for validate in _parts(known, rows.folds):
        others = known.copy()
        others[validate] = False
        if others.any():
            crossed[validate] = predicted[validate] @ _weights_on(rows, predicted, others)
    if not np.isfinite(crossed).any():  # one of them has no more than a fold in common with the others
        return []
    spec = {
        "family": "blend",
        "members": [member.spec for member, _ in used],
        "weights": [weight for _, weight in used],
    }
    made = judged(spec, crossed, rows, sum(member.fit_seconds for member, _ in used))
    return [replace(made, seconds_a_row=sum(member.seconds_a_row for member, _ in used))]


def _worth_their_time(
    rows: TrainingRows, predicted: Floats, known: NDArray[np.bool_]
) -> tuple[list[int], Floats]:
    """Return places and weights of a blend's members without those, lightest first, that add next to nothing."""

    def error(places: list[int], weights: Floats) -> float:
        squared = (predicted[known][:, places] @ weights - rows.target[known]) ** 2
        return float(np.sqrt(mean(squared, of(rows.weight, known))))

    places = list(range(predicted.shape[1]))
    weights = _weights_on(rows, predicted, known)
    most = error(places, weights) * (1.0 + WORTH)
    while len(places) > 1:
        lightest = int(np.argmin(weights))
        fewer = places[:lightest] + places[lightest + 1 :]
        others = _weights_on(rows, predicted[:, fewer], known)
        if error(fewer, others) > most:
            break
        places, weights = fewer, others
    return places, weights


def _weights_on(rows: TrainingRows, predicted: Floats, known: NDArray[np.bool_]) -> Floats:
    return blend_weights(predicted[known], rows.target[known], of(rows.weight, known))


def _parts(known: NDArray[np.bool_], folds: Folds) -> list[NDArray[np.intp]]:
    """Return the validated rows of each fold; two halves where there is only one."""
    parts = [validate for _, validate in folds if known[validate].any()]
    return parts if len(parts) > 1 else np.array_split(parts[0], 2)


def blend_weights(predicted: Floats, target: Floats, weight: Weight = None) -> Floats:
    """Return weights of shape (n_members,), none negative, that sum to 1.

    Parameters
    ----------
    predicted : float64 array of shape (n_rows, n_members)
        Each member's out-of-fold predictions.
    target : float64 array of shape (n_rows,)
    weight : float64 array of shape (n_rows,), optional
        How much each row's squared error counts.

    Notes
    -----
    Greedy selection with replacement (Caruana et al. 2004, ICML, "Ensemble selection from libraries of
    models"): steadier than least squares where rows are few and the target's tail is long.
    """
    residuals = predicted - target[:, None]
    products = residuals.T @ (residuals if weight is None else weight[:, None] * residuals)
    counts = np.zeros(predicted.shape[1])
    cross = np.zeros(predicted.shape[1])  # products @ counts
    for _ in range(BLEND_STEPS):
        best = int(np.argmin(2.0 * cross + np.diag(products)))
        counts[best] += 1.0
        cross += products[best]
    return counts / BLEND_STEPS
