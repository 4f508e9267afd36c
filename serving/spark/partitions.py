"""A registered version on Spark: rows of a DataFrame in, the same rows and their predictions out, in Arrow batches.

    from serving.spark import score
    scored = score(spark.table("flights"), "models:/flights@champion", coverage=0.9)

Executors need numpy, pyarrow and onnxruntime: neither pandas nor scikit-learn nor MLflow. Our own code and the
version's files go along with the query; the version is looked up once, by the driver, so that all rows see the same.

A value is accepted as the server accepts it, and a row has the same prediction to the last bit as from `-e score`. How
rows are written, once each, is Spark's own affair (`scored.write`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from data.own_files import own_folder
from data.workers import our_code
from serving.batch import Carried, Options, with_predictions
from serving.errors import Fault, FaultyRows
from serving.rows import coercion
from serving.signatures import Trust

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

OURS = ("data", "serving")


def score(
    df: DataFrame,
    model: str,
    *,
    coverage: float | None = None,
    explain: bool = False,
    on_fault: Literal["stop", "null"] = "stop",
    trust: Trust | None = None,
) -> DataFrame:
    """Return a DataFrame with a column `prediction` beside its own, worked out where its rows are.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Rows with the model's columns, in any order and beside others.
    model : str
        Such as models:/flights@champion or models:/flights/3, or a folder.
    coverage : float
        Columns `lower` and `upper` beside the prediction: the interval's ends.
    explain : bool
        A column `base`, and one for what each column of the model adds.
    on_fault : {"stop", "null"}
        End the query at a row that cannot be used, or leave its prediction null.
    trust : Trust
        Whose signature the version needs.

    Raises
    ------
    ServingError
        The version is not there, or cannot promise the interval; at an action, FaultyRows with partition and row.
    """
    from serving.registry import locate  # noqa: PLC0415 - executors have no MLflow

    with tempfile.TemporaryDirectory(dir=own_folder()) as cache:
        carried = Carried.of(Path(locate(model, Path(cache), trust).folder))
    scorer, options = carried.scorer(), Options(coverage, explain, on_fault == "null")
    if coverage is not None:
        scorer.intervals.quantile_for(coverage)
    no_rows = pa.table([pa.nulls(0)] * len(df.columns), names=df.columns)
    if (packed := coercion.pack_arrow(no_rows, scorer.schema)).n_faults:
        raise FaultyRows(faults=packed.faults, count=packed.n_faults, outcome="nothing was scored")
    df.sparkSession.addArtifacts(str(_our_code()), pyfile=True)
    return df.mapInArrow(partial(_scored, carried, options), _schema(df, options.names(df.columns, scorer)))


def _scored(
    carried: Carried, options: Options, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Score one partition: what an executor runs."""
    scorer, rows = carried.scorer(), 0
    for batch in batches:
        packed = coercion.pack_arrow(batch, scorer.schema)
        if packed.n_faults and not options.null_on_fault:
            raise _refused(packed, rows)
        yield with_predictions(batch, scorer, packed, options, typed=False)
        rows += batch.num_rows


def _refused(packed: coercion.Packed, before: int) -> FaultyRows:
    from pyspark import TaskContext  # noqa: PLC0415 - an executor's own

    context = TaskContext.get()
    where = f"partition {context.partitionId() if context else 0}"
    shown = [
        Fault(
            None if fault.row is None else fault.row + before + 1, fault.column, fault.expected, fault.found
        )
        for fault in packed.faults[:20]
    ]
    return FaultyRows(faults=shown, count=packed.n_faults, outcome=f"the query ends in {where}")


def _schema(df: DataFrame, added: list[str]):  # type: ignore[no-untyped-def]
    from pyspark.sql.types import DoubleType, StructField, StructType  # noqa: PLC0415 - the extra `spark`

    return StructType([*df.schema.fields, *(StructField(name, DoubleType(), True) for name in added)])


def _our_code() -> Path:
    """Return an archive of our packages, which has the same name wherever it is made."""
    digest, content = our_code(OURS)
    place = Path(own_folder()) / f"slipway-{digest}.zip"
    if not place.is_file():
        place.write_bytes(content)
    return place
