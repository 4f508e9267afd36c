"""Scoring on Spark beside stock MLflow's UDF: all 336,776 flights, ridge and 200-tree boosting.

Two executors of one core and 1 GiB each (`local-cluster`), from Parquet to Parquet, once before the clock runs so that
Python's workers are there. The two sides' predictions are compared. Last, an executor is killed in the middle of a
query: the rows are the same.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

from benchmarks.batch import FEATURES, write_flights
from benchmarks.models import build
from benchmarks.sizes import sized

TEXTS = ("carrier", "origin", "dest")


def main() -> None:
    """Print rows per second for each side, and the ratio."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows, spark = write_flights(folder), session(folder)
        flights = spark.read.parquet(str(folder / "flights.parquet"))
        names = [name if name in TEXTS else f"cast({name} as double) {name}" for name in FEATURES]
        flights = flights.selectExpr(*names).repartition(8).cache()
        flights.count()
        print(f"{rows:,} flights in 8 partitions; seconds to a folder of Parquet")
        for family in sized(("ridge", "boosting"), tiny=("ridge",)):
            version = build(
                folder / family, sample="flights", target="arr_delay", family=family, features=FEATURES
            )
            ours, stock = (
                timed(scored(flights, version), folder),
                timed(by_udf(spark, flights, version), folder),
            )
            furthest = np.abs(np.sort(ours[1]) - np.sort(stock[1])).max()
            print(
                f"  {family:<9} spark_udf {stock[0]:6.2f} s {rows / stock[0]:10,.0f} rows/s   "
                f"ours {ours[0]:6.2f} s {rows / ours[0]:10,.0f} rows/s   ratio {stock[0] / ours[0]:5.1f}   "
                f"max |difference| {furthest:.1e}"
            )
        killed = threading.Timer(ours[0] / 3, kill_an_executor)
        killed.start()
        again = timed(scored(flights, version), folder, warm=False)
        print(
            f"  an executor killed: {again[0]:.2f} s, the same rows: {(np.sort(again[1]) == np.sort(ours[1])).all()}"
        )
        spark.stop()


def session(folder: Path) -> Any:
    """Start a cluster of two executors."""
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    options = {
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.sql.adaptive.enabled": "false",
        "spark.executor.memory": "1g",
    }
    made = SparkSession.builder.master("local-cluster[2,1,1024]").config(map=options).getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    return made


def scored(flights: Any, version: Path) -> Any:
    """Return ours."""
    from serving.spark import score

    return score(flights, str(version))


def by_udf(spark: Any, flights: Any, version: Path) -> Any:
    """Return stock's, which takes no whole number for a double."""
    import mlflow

    udf = mlflow.pyfunc.spark_udf(spark, str(version), env_manager="local")
    return flights.withColumn("prediction", udf(*FEATURES))


def timed(df: Any, folder: Path, *, warm: bool = True) -> tuple[float, np.ndarray]:
    """Write a query's rows; return the seconds and the predictions."""
    output = str(folder / "scored")
    if warm:
        df.write.mode("overwrite").parquet(output)
    started = time.perf_counter()
    df.write.mode("overwrite").parquet(output)
    return time.perf_counter() - started, pd.read_parquet(output)["prediction"].to_numpy()


def kill_an_executor() -> None:
    """Kill one of the processes that our JVM has started."""
    for process in psutil.Process().children(recursive=True):
        if any("CoarseGrainedExecutorBackend" in word for word in process.cmdline()):
            process.send_signal(signal.SIGKILL)
            return


if __name__ == "__main__":
    main()
