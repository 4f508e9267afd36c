"""Models from code, for what no fitted model does: fail, hang, die, look at their neighbours."""

from __future__ import annotations

import os
import time

import mlflow
import numpy as np


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
        return x * 2.0


class Nosy(mlflow.pyfunc.PythonModel):
    """Ranks the rows of one call: no request may be joined with another."""

    def predict(self, context, model_input, params=None):
        """Return each row's place among all."""
        return np.argsort(np.argsort(model_input["x"].to_numpy(dtype=float))).astype(float)
