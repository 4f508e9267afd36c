"""What a column is called changes no answer: names that SQL, CSV, JSON or a protocol could trip over, at every door."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from data.sources import open_source
from data.tables import describe, load_table
from serving.batch import score_file
from serving.protocols.v2_messages.messages import message
from serving.running import free_port
from serving.scorer.scoring import Scorer
from tests.conftest import Workspace
from tests.serving.conftest import serve
from tests.serving.front.rpc.grpc_calls import Caller
from training.compiling import compile_verified, write_scorer
from training.gate.proof import served_predictions
from training.models.families import FAMILIES, build
from training.versions.flavor import log_version
from training.versions.stock import predictions_of

TEXTS = ("it's", 'say "hi"', "new\nline", "größe", "a ")
NUMBERS = (
    *(
        "prediction",
        "lower",
        "upper",
        "prediction_2",
        "Prediction",
        "index",
        "level_0",
        "2012",
        "nan",
        "True",
    ),
    *(
        "a",
        "A",
        " lead",
        "trail ",
        "a,b",
        "a;b",
        "a=b",
        "a|b",
        "back\\slash",
        "tab\tname",
        "[area]",
        "<b>x</b>",
    ),
    *("{brace}", "%s $x #c", "a/b.c:d", "`tick`", "数", "emoji 😀", "x" * 300, "-x", "=1+1", "__class__"),
    *("coverage", "inputs", "instances", "dataframe_split", "columns", "data", "id", "rows", "parameters"),
)
QUICK = ("ridge", "boosting", "stochastic")
SLOW = sorted({*FAMILIES} - {*QUICK, "process", "perceptron"})
TARGET = "Sale \"Price\", '€'\n "


def rows(count: int = 120) -> pd.DataFrame:
    """A table of such columns; the target is their sum."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame({name: random.normal(size=count).round(3) for name in NUMBERS})
    for name in TEXTS:
        frame[name] = pd.Series(random.choice(["u", "v, w", "'"], count), dtype=object)
    frame[TARGET] = frame[list(NUMBERS)].sum(axis=1) + (frame["it's"] == "u")
    return frame


def made(folder: Path, family: str = "ridge") -> tuple[Path, pd.DataFrame, NDArray[np.float64]]:
    """The folder of a version of that table, its columns, and what the pipeline predicts."""
    rows().to_csv(folder / "t.csv", index=False)
    table = load_table(open_source(str(folder / "t.csv")))
    features = [name for name in table.names if name != TARGET]
    schema, frame, target = (
        describe(table, features, target=TARGET),
        table.frame[features],
        table.numbers(TARGET),
    )
    small = {"forest": 10, "extra_trees": 10, "stochastic": 10}
    params = {"n_estimators": small[family]} if family in small else {}
    fitted = build({"family": family, "params": params}, schema, seed=0).fit(frame, target)
    compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
    graph, parity, scorer = compiled.graph, compiled.parity, folder / "scorer"
    write_scorer(scorer, graph=graph, schema=schema, frame=frame, fingerprint="0" * 32, parity=parity)
    with mlflow.start_run():
        logged = log_version(fitted, schema=schema, scorer_folder=scorer, input_example=frame.head(2))
    version = Path(mlflow.artifacts.download_artifacts(logged.model_uri))
    return version, frame, np.asarray(fitted.predict(frame))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("family", [*QUICK, *(pytest.param(each, marks=pytest.mark.soak) for each in SLOW)])
def test_each_family_takes_odd_names(family: str, tracking: Workspace) -> None:
    """Some libraries refuse a feature's name with brackets or quotes."""
    folder, frame, expected = made(tracking.folder, family)
    scorer = Scorer.load(folder / "scorer")
    scorer.replay_golden()
    report = score_file(scorer, open_source(str(tracking.folder / "t.csv")), tracking.folder / "o.parquet")
    found = pd.read_parquet(tracking.folder / "o.parquet")
    assert report.names == ("prediction_3", "lower_3", "upper_3")
    assert list(found.columns) == [*frame.columns, TARGET, "prediction_3"]
    np.testing.assert_allclose(found["prediction_3"], expected, rtol=1e-9)


def test_files_and_databases_are_scored(tracking: Workspace) -> None:
    """CSV, Parquet and SQL in, CSV and Parquet out; SQLite tells no capitals apart, so the query names the columns."""
    folder, frame, expected = made(tracking.folder)
    scorer = Scorer.load(folder / "scorer")
    frame.to_parquet(tracking.folder / "t.parquet", index=False)
    plain = frame.set_axis([f"c{place}" for place in range(len(frame.columns))], axis=1)
    with sqlite3.connect(tracking.folder / "t.db") as database:
        plain.to_sql("t", database, index=False)
    columns = [
        'c{} AS "{}"'.format(place, name.replace('"', '""')) for place, name in enumerate(frame.columns)
    ]
    query = f"SELECT {', '.join(columns)} FROM t".replace(":", "\\:")
    sources = [
        open_source(str(tracking.folder / "t.csv")),
        open_source(str(tracking.folder / "t.parquet")),
        open_source(f"sqlite:///{tracking.folder}/t.db", query=query),
    ]
    for source in sources:
        for ending in ("csv", "parquet"):
            output = tracking.folder / f"out.{ending}"
            score_file(scorer, source, output)
            found = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
            np.testing.assert_allclose(found["prediction_3"], expected, rtol=1e-9)


@pytest.mark.soak
def test_every_protocol_and_stock_mlflow_answer_alike(tracking: Workspace) -> None:
    """HTTP in MLflow's seven forms, one row, KServe's two protocols, gRPC, and MLflow without Slipway."""
    folder, frame, expected = made(tracking.folder)
    stock = predictions_of(folder, frame, apart=False)
    np.testing.assert_allclose(stock, expected, rtol=1e-9)
    for name, found in served_predictions(folder, frame, {}).items():
        np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=name)
    port = free_port()
    with serve("--model", f"odd={folder}", "--grpc-port", str(port)) as server:
        row = frame.iloc[0].to_dict()
        status, answer, _ = server.call("/models/odd/predict", {"x": row})
        assert status == 200, answer
        assert answer["y"] == pytest.approx(expected[0], rel=1e-9)
        status, answer, _ = server.call("/v1/models/odd:predict", {"instances": [row]})
        assert (status, answer["predictions"]) == (200, [pytest.approx(expected[0], rel=1e-9)])
        kinds = {name: "BYTES" if name in TEXTS else "FP64" for name in frame}
        tensors = [
            {"name": name, "shape": [1], "datatype": kind, "data": [row[name]]}
            for name, kind in kinds.items()
        ]
        status, answer, _ = server.call("/v2/models/odd/infer", {"inputs": tensors})
        assert status == 200, answer
        assert answer["outputs"][0]["data"] == [pytest.approx(expected[0], rel=1e-9)]
        request = message("ModelInferRequest")(model_name="odd")
        for name, kind in kinds.items():
            contents = request.inputs.add(name=name, datatype=kind, shape=[1]).contents
            if kind == "BYTES":
                contents.bytes_contents.append(row[name].encode())
            else:
                contents.fp64_contents.append(row[name])
        with Caller(port) as caller:
            code, found = caller.infer(request)
        assert code == "OK", found
        assert found.outputs[0].contents.fp64_contents[0] == pytest.approx(expected[0], rel=1e-9)
        assert server.call("/models/odd/openapi.json")[0] == 200
