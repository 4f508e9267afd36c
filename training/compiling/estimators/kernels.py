"""Models that compare a row with training rows: support vectors, kernel ridge, Gaussian processes.

Squared distances are summed feature by feature, as scipy's cdist and libsvm do: the shortcut
``|x|² + |y|² - 2xy`` loses the digits of near neighbours.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVR, NuSVR

from training.compiling.errors import UncompilableStep
from training.compiling.features import Feature, finite_matrix
from training.compiling.graph import Graph, Tensor

LEAST_ALPHA = 1e-6
"""Below it the weights of a Gaussian process are so large that their sum keeps no nine digits (tried)."""


def support_vectors(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return ``sum(dual * kernel(x, support vector)) + intercept``."""
    settings = {"gamma": model._gamma, "degree": model.degree, "coef0": model.coef0}
    similar = _named(model.kernel, settings, finite_matrix(graph, features), model.support_vectors_, "SVR")
    total: Tensor = similar @ model.dual_coef_.reshape(-1, 1)
    return total + float(model.intercept_[0])


def kernel_ridge(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return ``kernel(x, training rows) @ dual``."""
    gamma = 1.0 / model.X_fit_.shape[1] if model.gamma is None else model.gamma
    settings = {"gamma": gamma, "degree": model.degree, "coef0": model.coef0}
    similar = _named(model.kernel, settings, finite_matrix(graph, features), model.X_fit_, "KernelRidge")
    total: Tensor = similar @ model.dual_coef_.reshape(-1, 1)
    return total


def gaussian_process(model: Any, features: list[Feature], graph: Graph) -> Tensor:
    """Return the posterior mean."""
    if np.min(model.alpha) < LEAST_ALPHA:
        raise UncompilableStep(
            step="GaussianProcessRegressor",
            reason=f"alpha is {np.min(model.alpha):g}, must be at least {LEAST_ALPHA:g}",
        )
    similar = covariance(model.kernel_, finite_matrix(graph, features), model.X_train_)
    mean = similar @ np.reshape(model.alpha_, (-1, 1))
    return mean * np.float64(model._y_train_std) + np.float64(model._y_train_mean)


def _named(
    kernel: Any, settings: dict[str, Any], rows: Tensor, others: NDArray[np.float64], step: str
) -> Tensor:
    """Return one of the kernels that scikit-learn knows by name, shape (n_rows, n_others)."""
    if kernel not in ("linear", "poly", "polynomial", "rbf", "sigmoid", "laplacian"):
        raise UncompilableStep(step=f"{step}(kernel={kernel!r})", reason="the compiler has no such kernel")
    gamma, graph = settings["gamma"], rows.graph
    if kernel == "rbf":
        return graph.op("Exp", -(squared_distances(rows, others) * gamma))
    if kernel == "laplacian":
        return graph.op("Exp", -(_summed(rows, others, "Abs") * gamma))
    product = rows @ np.ascontiguousarray(others.T)
    if kernel == "linear":
        return product
    shifted = product * gamma + settings["coef0"]
    return graph.op("Tanh", shifted) if kernel == "sigmoid" else shifted ** settings["degree"]


@singledispatch
def covariance(kernel: Any, rows: Tensor, others: NDArray[np.float64]) -> Tensor:  # noqa: ARG001
    """Return a Gaussian process kernel between rows and training rows, shape (n_rows, n_others)."""
    raise UncompilableStep(
        step=f"GaussianProcessRegressor({type(kernel).__name__})", reason="no such kernel here"
    )


@covariance.register
def _(kernel: kernels.Sum, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    return covariance(kernel.k1, rows, others) + covariance(kernel.k2, rows, others)


@covariance.register
def _(kernel: kernels.Product, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    return covariance(kernel.k1, rows, others) * covariance(kernel.k2, rows, others)


@covariance.register
def _(kernel: kernels.ConstantKernel, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    return rows.take([0]) * 0.0 + np.full((1, len(others)), float(kernel.constant_value))


@covariance.register
def _(kernel: kernels.WhiteKernel, rows: Tensor, others: NDArray[np.float64]) -> Tensor:  # noqa: ARG001
    return rows.take([0]) * 0.0 + np.zeros((1, len(others)))  # noise is on the diagonal of training only


@covariance.register
def _(kernel: kernels.RationalQuadratic, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    ratio = squared_distances(rows, others) / (2.0 * kernel.alpha * kernel.length_scale**2)
    similar: Tensor = (ratio + 1.0) ** float(-kernel.alpha)
    return similar


@covariance.register
def _(kernel: kernels.DotProduct, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    return rows @ np.ascontiguousarray(others.T) + float(kernel.sigma_0**2)


@covariance.register
def _(kernel: kernels.RBF, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    scaled = squared_distances(rows / kernel.length_scale, others / kernel.length_scale)
    return rows.graph.op("Exp", scaled * -0.5)


@covariance.register
def _(kernel: kernels.Matern, rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    graph, nu = rows.graph, kernel.nu
    squared = squared_distances(rows / kernel.length_scale, others / kernel.length_scale)
    if nu == np.inf:
        return graph.op("Exp", squared * -0.5)
    distance = graph.op("Sqrt", squared)
    if nu == 0.5:
        return graph.op("Exp", -distance)
    if nu not in (1.5, 2.5):
        raise UncompilableStep(
            step=f"GaussianProcessRegressor(Matern(nu={nu:g}))", reason="nu must be 0.5, 1.5, 2.5"
        )
    scaled = distance * float(np.sqrt(2.0 * nu))
    growth = scaled + 1.0 if nu == 1.5 else scaled + 1.0 + scaled * scaled / 3.0
    return growth * graph.op("Exp", -scaled)


def squared_distances(rows: Tensor, others: NDArray[np.float64]) -> Tensor:
    """Return ``|x - y|²`` of shape (n_rows, n_others)."""
    return _summed(rows, others, "Square")


def _summed(rows: Tensor, others: NDArray[np.float64], measure: str) -> Tensor:
    total: Tensor | None = None
    for index in range(others.shape[1]):
        apart = rows.take([index]) - others[:, index][None, :]
        part = rows.graph.op("Abs", apart) if measure == "Abs" else apart * apart
        total = part if total is None else total + part
    assert total is not None
    return total


MODELS = {
    SVR: support_vectors,
    NuSVR: support_vectors,
    KernelRidge: kernel_ridge,
    GaussianProcessRegressor: gaussian_process,
}
