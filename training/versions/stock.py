"""What stock MLflow predicts with a version's folder: here, or in a process that has nothing to give away.

This file is also that process's script: started by its path, in a scratch folder, without Python's own settings and
with an environment that holds no address, key or home of ours. Rows come in as a pickle that the parent wrote; the
predictions go back as plain numbers. It reads what the user may read: it is no sandbox.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEPT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "OMP_NUM_THREADS",
    "MLFLOW_DISABLE_TELEMETRY",
)
"""All that a proof's process learns of the environment."""

PATIENCE = 300.0
"""Seconds for a proof; six are usual, most of them imports."""


def predictions_of(folder: Path, frame: pd.DataFrame, *, apart: bool) -> NDArray[np.float64]:
    """Return the predictions of a checked folder's model, float64 of shape (n_rows,); raises StockFailed."""
    return _apart(folder, frame) if apart else _predict(str(folder), frame)


def bare_environment(scratch: str) -> dict[str, str]:
    """Return an environment without credentials, whose home and temporary folder are a scratch folder."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"HOME": scratch, "TMPDIR": scratch, "MLFLOW_UV_AUTO_DETECT": "false"}


def _predict(folder: str, frame: pd.DataFrame) -> NDArray[np.float64]:
    import mlflow.pyfunc  # noqa: PLC0415 - a rollback does without

    return np.asarray(mlflow.pyfunc.load_model(folder).predict(frame), dtype=np.float64).reshape(-1)


def _apart(folder: Path, frame: pd.DataFrame) -> NDArray[np.float64]:
    from data.own_files import own_folder  # noqa: PLC0415 - the script has no package of ours
    from training.versions.errors import StockFailed  # noqa: PLC0415 - the script has no package of ours

    with tempfile.TemporaryDirectory(dir=own_folder()) as scratch:
        rows, result = Path(scratch, "rows.pickle"), Path(scratch, "found.npy")
        rows.write_bytes(pickle.dumps(frame))
        words = [sys.executable, "-I", __file__, str(folder), str(rows), str(result)]
        options: dict[str, Any] = {"cwd": scratch, "env": bare_environment(scratch), "capture_output": True}
        try:
            done = subprocess.run(words, text=True, timeout=PATIENCE, check=False, **options)
        except subprocess.TimeoutExpired as error:
            raise StockFailed(reason=f"no answer in {PATIENCE:.0f} s") from error
        if done.returncode or not result.is_file():
            raise StockFailed(
                reason=(done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
            )
        return np.asarray(np.load(result, allow_pickle=False), dtype=np.float64)


if __name__ == "__main__":
    np.save(sys.argv[3], _predict(sys.argv[1], pickle.loads(Path(sys.argv[2]).read_bytes())))  # noqa: S301 - our own
