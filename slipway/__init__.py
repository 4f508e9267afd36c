"""Slipway from Python: train on a table, and ask a registered model in this process.

    import slipway

    trained = slipway.train(houses, target="price", name="houses")
    model = slipway.load("models:/houses@champion")
    model.predict(houses, coverage=0.9)

Both do what the entry points and the server do, by the same code. MLflow finds its store as always:
`MLFLOW_TRACKING_URI`, or `mlflow.db` in the current folder. `docs/api.md` lists what may be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from slipway.asking import Model, load
    from slipway.teaching import Trained, train

__all__ = ["Model", "Trained", "load", "train"]

__getattr__ = at_first_use(
    __name__, {"Model": "asking", "load": "asking", "Trained": "teaching", "train": "teaching"}
)
