"""Does a registered version answer what its pipeline predicts, through every door it will be served by.

Asked of the version's own files as the registry has them: the pipeline as stock MLflow loads it, the scorer, and the
real server in a process of its own, over HTTP, in every format. Nothing here decides anything.
"""

from __future__ import annotations

import io
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from data.cells import Reading
from data.own_files import own_folder
from serving.errors import ServerFailed
from serving.running import served
from training.errors import ServerSilent
from training.versions import bare_environment

MOST_ROWS = 1_000
PATIENCE = 60.0
JSON, CSV = "application/json", "text/csv"
PARQUET, ARROW = "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"

Floats = NDArray[np.float64]


def distance(found: Floats, expected: Floats, target_sd: float) -> float:
    """Return the largest ``|found - expected| / max(|expected|, target_sd)``; infinite where one is no number."""
    scale = np.maximum(np.abs(expected), target_sd)
    apart = np.abs(found - expected)
    shares = np.divide(apart, scale, out=np.where(apart > 0, np.inf, 0.0), where=scale > 0)
    return float(np.max(np.where(np.isfinite(found) & np.isfinite(expected), shares, np.inf), initial=0.0))


def served_predictions(
    folder: Path, frame: pd.DataFrame, readings: Mapping[str, Reading]
) -> dict[str, Floats]:
    """Return the real server's answers by format, each of shape (n_rows,); raises ServerSilent."""
    with _server(folder) as address:
        return {
            name: _ask(f"{address}/invocations", *body) for name, body in _bodies(frame, readings).items()
        }


def _bodies(frame: pd.DataFrame, readings: Mapping[str, Reading]) -> dict[str, tuple[bytes, str]]:
    rows = frame.astype(object).where(frame.notna(), None)
    records, names = rows.to_dict(orient="records"), list(rows)
    columns = {name: rows[name].tolist() for name in names}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parquet, stream = io.BytesIO(), io.BytesIO()
    frame.to_parquet(parquet, index=False)
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return {
        "records": (orjson.dumps({"dataframe_records": records}), JSON),
        "split": (
            orjson.dumps({"dataframe_split": {"columns": names, "data": rows.to_numpy().tolist()}}),
            JSON,
        ),
        "instances": (orjson.dumps({"instances": records}), JSON),
        "inputs": (orjson.dumps({"inputs": columns}), JSON),
        "CSV": (_as_people_write(frame, readings).to_csv(index=False).encode(), CSV),
        "Parquet": (parquet.getvalue(), PARQUET),
        "Arrow": (stream.getvalue(), ARROW),
    }


def _as_people_write(frame: pd.DataFrame, readings: Mapping[str, Reading]) -> pd.DataFrame:
    """Return the numbers that are read with a decimal comma or a percent sign as texts that have one."""
    written = {
        name: frame[name].map(lambda value, reading=reading: reading.written(str(value)), na_action="ignore")
        for name, reading in readings.items()
        if name in frame
    }
    return frame.assign(**written)


def _ask(url: str, body: bytes, kind: str) -> Floats:
    request = urllib.request.Request(url, body, {"Content-Type": kind})  # noqa: S310 - our own loopback address
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            predictions = orjson.loads(answer.read())["predictions"]
    except OSError as error:
        said = error.read()[:300].decode() if hasattr(error, "read") else str(error)
        raise ServerSilent(reason=f"to {kind} it said {said}") from error
    return np.array(predictions, dtype=np.float64)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    """Start the server on the version's folder, without our credentials; raises ServerSilent."""
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory(dir=own_folder(), ignore_cleanup_errors=True) as scratch:
        opened: dict[str, Any] = {"cwd": root, "env": bare_environment(scratch), "stderr": subprocess.STDOUT}
        try:
            with served("--model", str(folder), **opened) as server:
                yield server.address
        except ServerFailed as error:
            raise ServerSilent(reason=error.said) from error
