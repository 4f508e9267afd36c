"""LightGBM's trees learn all rows of a table that memory does not hold.

The columns that the trees see are written to a file once, in the order in which the rows are read; LightGBM draws from
it the rows that its bins are made by, and then holds a byte or two of each cell. So the trees are those of the same
rows in memory, whatever the parts are that they come in; another order of the rows gives other trees.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.own_files import own_folder
from training.lightgbm_text import FIXED, LightGBMRegressor, read, written

Floats = NDArray[np.float64]

BYTES_A_CELL, BYTES_A_ROW = 2, 40
"""That LightGBM and the target take: bins, as columns and as rows; target, score, gradient and hessian."""


class TimeIsUp(Exception):
    """The trees are not finished in time."""


def bytes_for(count: int, columns: int) -> float:
    """Return the bytes of memory that learning so many rows takes."""
    return float(count) * (BYTES_A_CELL * columns + BYTES_A_ROW)


def learn(model: LightGBMRegressor, parts: Iterable[tuple[Floats, Floats]], *, until: float) -> bool:
    """Let a fitted model learn rows of shape (n, n_columns) with their targets; it stays as it is beyond a moment.

    Raises
    ------
    OSError
        There is no room on the disk.
    """
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        path, targets = Path(folder) / "rows", []
        with path.open("wb") as file:  # a mapped file would end the process where the disk is full
            for rows, target in parts:
                file.write(np.ascontiguousarray(rows, dtype=np.float64).data)
                targets.append(target)
        target = np.concatenate(targets)
        matrix = np.memmap(path, np.float64, "r", shape=(len(target), model.n_features_in_))
        try:
            model.text_ = _text(model, matrix, target, until)
        except TimeIsUp:
            return False
        model.__dict__.pop("_booster", None)
    return True


def _text(model: LightGBMRegressor, matrix: NDArray[Any], target: Floats, until: float) -> str:
    """Return the text of the trees that `LightGBMRegressor.fit` would learn of the same rows."""
    import lightgbm  # noqa: PLC0415 - at its first use

    class FileRows(lightgbm.Sequence):
        """The file, read a stretch at a time."""

        batch_size = 65_536

        def __getitem__(self, place: Any) -> Any:
            return np.array(matrix[place])

        def __len__(self) -> int:
            return len(matrix)

    mean = float(np.average(target))
    options = {**(model.settings or {}), **FIXED, "seed": int(model.seed)}
    if model.monotonic is not None and any(model.monotonic):
        options["monotone_constraints"] = [int(way) for way in model.monotonic]
    data = lightgbm.Dataset(
        [FileRows()], target - mean, categorical_feature=list(model.categories or []), params=options
    )
    learned = read(lightgbm.train(options, data, callbacks=[_ends(until)]).model_to_string())
    raised = len(learned.trees) if learned.averaged else 1
    trees = [replace(tree, value=tree.value + mean) for tree in learned.trees[:raised]]
    return written(replace(learned, trees=(*trees, *learned.trees[raised:])))


def _ends(until: float) -> Callable[[Any], None]:
    """Return what is asked after each tree."""

    def ask(_: Any) -> None:
        if time.perf_counter() > until:
            raise TimeIsUp

    return ask
