"""Models from code, for what no fitted model does: fail, hang, die, look at their neighbours. And how to save any."""

from __future__ import annotations

import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

COLUMNS = ["sepal", "width", "petal", "across"]
"""Of the irises."""


class Odd(mlflow.pyfunc.PythonModel):
    """Twice x; some values of x do something else."""

    def predict(self, context, model_input, params=None):
        """Return 2 x for each row."""
        x = model_input["x"].to_numpy(dtype=float)
        if (x == -1).any():
            raise ValueError("secret of the model")
        if (x == -2).any():
            time.sleep(60)
        if (x == -3).any():
            os._exit(9)
        if (x == -4).any():
            time.sleep(0.3)
        if (x == -5).any():
            sys.stdout.write("much " * 50_000)
            sys.stdout.flush()
        return x * 2.0


class Nosy(mlflow.pyfunc.PythonModel):
    """Ranks the rows of one call, so requests must not be joined."""

    def predict(self, context, model_input, params=None):
        """Return each row's place among all."""
        return np.argsort(np.argsort(model_input["x"].to_numpy(dtype=float))).astype(float)


class Strange(mlflow.pyfunc.PythonModel):
    """Answers what no JSON library likes, and fails without a word, for some values of x."""

    def predict(self, context, model_input, params=None):
        """Return x for each row, or something else for one of them."""
        strange = {-1: 2**70, -2: "\ud800 NaN", -3: object()}
        if (model_input["x"] == -4).any():
            raise mlflow.MlflowException("Error: ")
        return [strange.get(x, x) for x in model_input["x"].tolist()]


class Kinds(mlflow.pyfunc.PythonModel):
    """Says what each row came in: the type of its column, or of the array."""

    def predict(self, context, model_input, params=None):
        """Return the type and the value, for each row of a table, of an array, or of arrays by name."""
        if isinstance(model_input, np.ndarray):
            return [f"{model_input.dtype.kind} {row!r}" for row in model_input.tolist()]
        cells = model_input["x"]
        return [f"{cells.dtype} {cell!r}" for cell in cells.tolist()]


class Hinted(mlflow.pyfunc.PythonModel):
    """Says by type hints what it takes, so MLflow hands over what was sent as it came."""

    def predict(self, model_input: list[str]) -> list[str]:
        """Return each text's type and the text."""
        return [f"{type(text).__name__} {text}" for text in model_input]


def saved(folder: Path, model: Any, **options: Any) -> str:
    """Save with MLflow, which warns of much."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(model, mlflow.pyfunc.PythonModel):
            mlflow.pyfunc.save_model(folder, python_model=model, **options)
        else:
            mlflow.sklearn.save_model(model, folder, serialization_format="cloudpickle", **options)
    return str(folder)


def saved_odd(folder: Path) -> str:
    """Save the odd model with its code and a signature of one column."""
    signature = infer_signature(pd.DataFrame({"x": [1.0]}), np.array([2.0]))
    return saved(folder, Odd(), signature=signature, code_paths=[__file__])
