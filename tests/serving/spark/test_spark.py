"""On Spark: the bits of `-e score`, the same strict cells, and nothing on executors but what a server has."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.captures import Places
from data.sources import open_source
from serving import spark as on_spark
from serving.batch import Carried, score_file
from serving.errors import CoverageRefused, FaultyRows
from tests.conftest import ROOT, missing_part
from tests.training.archive.kept import NOON, frame_at, predictions, written

pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # py4j's sockets to the JVM
]
FEATURES = ["month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest"]
ABSENT = ("pandas", "sklearn", "mlflow")
"""What executors do without."""

Sessions = Callable[..., Any]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sessions]:
    """Two executors' threads in one JVM; `session(without=...)` is one whose Python lacks some packages."""
    if not importlib.util.find_spec("pyspark"):
        if not os.environ.get("SPARK"):
            pytest.skip("PySpark is missing (pip install '.[spark]'; CI has it where SPARK is set)")
        missing_part("PySpark (pip install '.[spark]')")
    if not shutil.which("java"):
        missing_part("Java (apt-get install default-jdk-headless)")
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    folder = tmp_path_factory.mktemp("spark")
    for name in ABSENT:
        (folder / "lacking" / name).mkdir(parents=True)
        (folder / "lacking" / name / "__init__.py").write_text(f"raise ImportError('there is no {name}')")

    def started(*, lacking: bool = False) -> Any:
        if (active := SparkSession.getActiveSession()) is not None:
            active.stop()
        options = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "2",
            "spark.sql.warehouse.dir": str(folder / "warehouse"),
            "spark.driver.extraJavaOptions": "-XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "spark.executorEnv.PYTHONPATH": str(folder / "lacking") if lacking else "",
        }
        made = SparkSession.builder.master("local[2]").config(map=options).getOrCreate()
        made.sparkContext.setLogLevel("OFF")
        return made

    yield started
    if (active := SparkSession.getActiveSession()) is not None:
        active.stop()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ridge on the flights sample, which is sensitive to where a row stands."""
    from benchmarks.models import build

    folder = tmp_path_factory.mktemp("ridge")
    return build(folder, sample="flights", target="arr_delay", family="ridge", features=FEATURES)


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet in three row groups, which Spark reads as it likes."""
    path = tmp_path_factory.mktemp("flights") / "flights.parquet"
    frame = pd.read_csv(ROOT / "data" / "samples" / "flights.csv").head(5_001).reset_index(names="row")
    frame.to_parquet(path, index=False, row_group_size=1_667)
    return path


def finder() -> Callable[[Iterator[Any]], Iterator[Any]]:
    """What tells which of the packages an executor can import: made in here, it is sent by value."""

    def found(batches: Iterator[Any], names: tuple[str, ...] = ABSENT) -> Iterator[Any]:
        import importlib

        import pyarrow as pa

        for _ in batches:
            pass
        for name in names:
            try:
                importlib.import_module(name)
            except ImportError:
                continue
            yield pa.RecordBatch.from_pydict({"name": [name]})

    return found


def test_executors_without_pandas_give_the_bits_of_the_batch_job(
    session: Sessions, version: Path, flights: Path, tmp_path: Path
) -> None:
    """In other batches, partitions and processes than there; and what is beside the model's columns comes along."""
    spark = session(lacking=True)
    df = spark.read.parquet(str(flights))
    assert df.mapInArrow(finder(), "name string").collect() == []
    scored = on_spark.score(df.repartition(3), str(version), explain=True)
    scored.write.parquet(str(tmp_path / "spark"))
    score_file(
        Carried.of(version / "scorer").scorer(),
        open_source(str(flights)),
        tmp_path / "one.parquet",
        explain=True,
    )
    by_spark = pd.read_parquet(tmp_path / "spark").sort_values("row", ignore_index=True)
    one = pd.read_parquet(tmp_path / "one.parquet")
    assert list(by_spark.columns) == list(one.columns)
    assert (by_spark["prediction"] == one["prediction"]).all()
    pd.testing.assert_frame_equal(by_spark, one, rtol=1e-12)


def test_a_row_that_cannot_be_used_ends_the_query_or_has_no_prediction(
    session: Sessions, version: Path, flights: Path
) -> None:
    """As in the batch job; on a cluster the place is a partition, and the row in it."""
    spark = session()
    from pyspark.sql import functions

    df = spark.read.parquet(str(flights)).coalesce(1).orderBy("row")
    late = functions.when(df["row"] == 2_003, float("inf")).otherwise(df["hour"].cast("double"))
    df = df.withColumn("hour", late).coalesce(1)
    with pytest.raises(
        Exception, match=r"partition 0[\s\S]*row 2004, column 'hour': expected a finite number"
    ):
        on_spark.score(df, str(version)).collect()
    empty = on_spark.score(df, str(version), on_fault="null").filter("prediction is null").collect()
    assert [row["row"] for row in empty] == [2_003]


def test_what_can_be_known_before_is_refused_before(session: Sessions, version: Path, flights: Path) -> None:
    """A query of an hour must not begin: a column that is absent, an interval that the version has not."""
    df = session().read.parquet(str(flights))
    with pytest.raises(FaultyRows, match=r"column 'hour'.*no such column"):
        on_spark.score(df.drop("hour"), str(version))
    with pytest.raises(CoverageRefused):
        on_spark.score(df, str(version), coverage=0.9)


def test_types_of_spark_are_read_as_they_are(session: Sessions, version: Path, flights: Path) -> None:
    """Decimals, small whole numbers, columns of rows beside; a column called prediction keeps its name and values."""
    df = session().read.parquet(str(flights))
    plain = on_spark.score(df, str(version)).toArrow().to_pandas().sort_values("row")
    other = df.selectExpr(
        "row",
        "cast(month as tinyint) month",
        "weekday",
        "cast(hour as decimal(9, 2)) hour",
        "dep_delay",
        "carrier",
        "origin",
        "dest",
        "struct(row, dest) both",
        "1.5D Prediction",
    )
    scored = on_spark.score(other, str(version)).toArrow().to_pandas().sort_values("row")
    assert (scored["prediction_2"].to_numpy() == plain["prediction"].to_numpy()).all()
    assert scored["Prediction"].eq(1.5).all()


def test_stock_mlflow_runs_a_version_on_spark_too(session: Sessions, version: Path, flights: Path) -> None:
    """`mlflow.pyfunc.spark_udf`, for who has it in place; like all of stock it takes no whole number for a double."""
    import mlflow

    spark = session()
    udf = mlflow.pyfunc.spark_udf(spark, str(version), env_manager="local")
    df = spark.read.parquet(str(flights))
    df = df.selectExpr(*(f"cast({name} as double) {name}" for name in FEATURES[:4]), *FEATURES[4:])
    both = on_spark.score(df, str(version)).withColumn("stock", udf(*FEATURES)).toArrow().to_pandas()
    np.testing.assert_allclose(both["stock"], both["prediction"], rtol=1e-9, atol=1e-9)


def test_spark_reads_what_servers_kept(session: Sessions, tmp_path: Path) -> None:
    """Captures as the compactor leaves them: the same rows as pyarrow has, folders as columns."""
    from training.archive import compact

    places = Places(tmp_path / "captures")
    written(places.frames / "1.frames", [frame_at(NOON), frame_at(NOON + timedelta(hours=1), number=2)])
    compact(places, lambda *_: None)
    known = predictions(places)
    df = session().read.parquet(str(places.folder / "predictions"))
    assert set(df.columns) == set(known.columns)
    seen = sorted((row["slipway_id"], row["slipway_prediction"]) for row in df.collect())
    assert seen == sorted(zip(known["slipway_id"], known["slipway_prediction"], strict=True))
