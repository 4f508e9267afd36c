"""How a pipeline is fitted where rows have weights: the model at its end gets them, what stands before it does not.

Imputers, scalers, encoders and the target's scale describe the rows as they are: a median or a category's mean is not
moved by who stands for many. The loss that the model lowers is the weighted one. Without weights this is plain `fit`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils import Bunch
from sklearn.utils.validation import has_fit_parameter

from training.weights import Weight, relative


def fit(model: Any, frame: pd.DataFrame, target: NDArray[np.float64], weight: Weight = None) -> Any:
    """Fit a pipeline of `training.models` on rows and return it.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_features)
    target : float64 array of shape (n_rows,)
    weight : float64 array of shape (n_rows,), optional
        Taken relative to their mean, so that a penalty is as strong as without.
    """
    weight = relative(weight)
    if weight is None:
        return model.fit(frame, target)
    if _is_blend(model):
        return _fit_blend(model, frame, target, weight)
    return model.fit(frame, target, **{_way_to_last(model): weight})


def takes_weights(model: Any) -> bool:
    """Return whether the model at the end can be fitted with weights."""
    if isinstance(model, VotingRegressor):
        return all(takes_weights(member) for _, member in model.estimators)
    inner = _inner(model)
    return has_fit_parameter(model, "sample_weight") if inner is None else takes_weights(inner)


def _way_to_last(model: Any) -> str:
    """Return the parameter of `fit` that reaches the last step, such as model__ridgecv__sample_weight."""
    inner = _inner(model)
    if inner is None:
        return "sample_weight"
    step = f"{model.steps[-1][0]}__" if isinstance(model, Pipeline) else ""
    return step + _way_to_last(inner)


def _inner(model: Any) -> Any:
    """Return the model within a pipeline or a transformed target; None where there is none."""
    if isinstance(model, Pipeline):
        return model.steps[-1][1]
    return model.regressor if isinstance(model, TransformedTargetRegressor) else None


def _is_blend(model: Any) -> bool:
    return isinstance(model, VotingRegressor) and any(_inner(member) for _, member in model.estimators)


def _fit_blend(
    blend: VotingRegressor, frame: pd.DataFrame, target: NDArray[np.float64], weight: Weight
) -> VotingRegressor:
    """Fit each member as it would be alone: scikit-learn hands weights to models, not to pipelines."""
    members = {name: fit(clone(member), frame, target, weight) for name, member in blend.estimators}
    blend.estimators_, blend.named_estimators_ = list(members.values()), Bunch(**members)
    blend.feature_names_in_ = np.asarray(frame.columns, dtype=object)
    return blend
