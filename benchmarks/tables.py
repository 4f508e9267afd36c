"""Is the champion ever worse than the obvious model: the search beside a default boosting, on tables of yours.

    python -m benchmarks.tables LIST.csv [--folder FOLDER] [--seconds 10 60] [--names 3] [--only housing.csv]

LIST.csv has the columns file and target, and may have exclude and more (further words of the command line, such
as `--missing -200`). Each table is trained as it lies there by the same `main` as any, under several names, for a
name decides the split. Then scikit-learn's HistGradientBoostingRegressor, default but for the ordinal codes of
the categories, is fitted on the same columns of the same training rows, and both are judged by the same held-out
rows. A ratio below 1 means that the search is better; a table's is the geometric mean over the names. Seconds
are of the whole command, processor seconds too: the cores may be shared.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from benchmarks.sizes import sized

ROOT = Path(__file__).parent.parent
NEVER_WORSE, BETTER = 1.03, 0.97
"""The targets: each table's ratio at ten seconds, and the geometric mean at sixty."""


@dataclass(frozen=True)
class Listed:
    """A table and what it is trained with."""

    file: Path
    target: str
    exclude: str = ""
    more: str = ""


@dataclass(frozen=True)
class Result:
    """Both holdout errors on one split, and what the training took."""

    ours: float
    obvious: float
    family: str
    seconds: float
    processor: float

    @property
    def ratio(self) -> float:
        """Ours over the obvious model's."""
        return self.ours / self.obvious


def main() -> None:
    """Print a table of ratios for each time budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", allow_abbrev=False)
    parser.add_argument("list", type=Path, nargs=sized(None, tiny="?"))
    parser.add_argument("--folder", type=Path, help="of the tables; default: the list's")
    parser.add_argument("--seconds", type=float, nargs="*", default=sized([10.0], tiny=[1.0]))
    parser.add_argument("--names", type=int, default=sized(3, tiny=1))
    parser.add_argument("--only", nargs="*")
    asked = parser.parse_args()
    if asked.list is None:
        tables = [Listed(ROOT / "data" / "samples" / "line.csv", "y")]
    else:
        tables = listed(asked.list, asked.folder or asked.list.parent)
    for seconds in asked.seconds:
        chosen = [each for each in tables if not asked.only or each.file.name in asked.only]
        beside_obvious(chosen, seconds, asked.names)


def listed(file: Path, folder: Path) -> list[Listed]:
    """Read the list."""
    lines = pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")
    return [
        Listed(
            (folder / line["file"]).resolve(), line["target"], line.get("exclude", ""), line.get("more", "")
        )
        for line in lines
    ]


def beside_obvious(tables: list[Listed], seconds: float, names: int) -> None:
    """Print one line for each table, and the geometric mean."""
    title = f"{seconds:g} s"
    print(
        f"{title:<26}{'ours':>11}{'obvious':>11}{'ratio':>8}{'from':>7}{'to':>7}{'wall s':>8}{'cpu s':>7}  model"
    )
    ratios = []
    for table in tables:
        result = [compared(table, f"split{index}", seconds) for index in range(names)]
        every = [each.ratio for each in result]
        ratio = geometric(every)
        ratios.append(ratio)
        means = [
            np.mean([getattr(each, key) for each in result])
            for key in ("ours", "obvious", "seconds", "processor")
        ]
        families = ", ".join(each.family for each in result)
        print(
            f"{table.file.name:<26}{means[0]:>11.5g}{means[1]:>11.5g}{ratio:>8.3f}{min(every):>7.3f}{max(every):>7.3f}"
            f"{means[2]:>8.1f}{means[3]:>7.1f}  {families}{'' if ratio <= NEVER_WORSE else '  MISSED'}",
            flush=True,
        )
    print(
        f"largest {max(ratios):.3f} (at most {NEVER_WORSE} at 10 s), geometric mean {geometric(ratios):.3f} "
        f"(at most {BETTER} at 60 s)",
        flush=True,
    )


def geometric(ratios: list[float]) -> float:
    """Return the geometric mean."""
    return float(np.exp(np.mean(np.log(ratios))))


def compared(table: Listed, name: str, seconds: float) -> Result:
    """Train on one split, and fit the obvious model on the same one."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["MLFLOW_TRACKING_URI"] = uri = f"sqlite:///{scratch}/mlflow.db"
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        began, before = time.perf_counter(), _processor()
        words = train(table, name, seconds, scratch)
        wall, processor = time.perf_counter() - began, _processor() - before
        return _result(words, name, wall, processor)


def train(table: Listed, name: str, seconds: float, folder: str) -> list[str]:
    """Run the command, and return its words."""
    words = [
        "train",
        "--data",
        str(table.file),
        "--target",
        table.target,
        "--name",
        name,
        "--promote",
        "never",
    ]
    words += [*(["--exclude", table.exclude] if table.exclude else []), *shlex.split(table.more)]
    words += ["--time_budget", f"{seconds:g}"]
    done = subprocess.run(
        [sys.executable, "-m", "training", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{table.file.name}: {done.stderr.strip()}")
    return words


def _unheard(_step: str, _outcome: str) -> None:
    """Let a step pass: the training said it."""


def _processor() -> float:
    """Return the processor seconds of this process's children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _result(words: list[str], name: str, wall: float, processor: float) -> Result:
    from training.commands import parse, trainings
    from training.records import model_registry
    from training.rows import arrange, open_table
    from training.rows.known import load_split

    (version,) = model_registry.versions(name)  # whose rule is what `load_split` finds
    run = mlflow.MlflowClient().get_run(version.run_id).data
    config = parse(words)
    assert isinstance(config, trainings.TrainConfig)
    config, table, rule = load_split(config, open_table(config, _unheard), config.asked)
    rows = arrange(table, rule, config, _unheard)
    predicted = obvious(rows.frame("train"), rows.target("train"), rows.frame("holdout"))
    error = float(np.sqrt(np.mean((predicted - rows.target("holdout")) ** 2)))
    return Result(run.metrics["holdout_rmse"], error, run.params["family"], wall, processor)


def obvious(frame: pd.DataFrame, target: NDArray[np.float64], asked: pd.DataFrame) -> NDArray[np.float64]:
    """Return the default boosting's predictions; categories and dates are ordinal codes."""
    texts = [name for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("codes", codes, texts)], remainder="passthrough")
    model = make_pipeline(columns, HistGradientBoostingRegressor(random_state=0)).fit(
        _plain(frame, texts), target
    )
    return np.asarray(model.predict(_plain(asked, texts)), dtype=np.float64)


def _plain(frame: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """Return numbers as float64 and texts as objects, None where missing."""
    plain = {
        name: frame[name].astype(object).where(frame[name].notna(), None)
        if name in texts
        else frame[name].astype(float)
        for name in frame
    }
    return pd.DataFrame(plain, index=frame.index)


if __name__ == "__main__":
    main()
