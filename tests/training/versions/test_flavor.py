"""A logged version: stock MLflow loads it as before, the scorer lies beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from data.schema import Column, Schema
from serving.scorer import Parity
from serving.scorer.scoring import Scorer
from training.compiling import compile_pipeline, pack_frame, write_scorer
from training.compiling.errors import UncompilableStep
from training.transformers import CalendarFeatures, CategoryText
from training.versions.flavor import log_version, signature_of, trusted_types

pytestmark = pytest.mark.filterwarnings(  # MLflow's own store and tools
    "ignore::sqlalchemy.exc.SADeprecationWarning",
    "ignore::DeprecationWarning",
)

SCHEMA = Schema(
    (
        Column("when", "datetime"),
        Column("x", "number"),
        Column("flag", "boolean", missing=True),
        Column("color", "category", categories=("blue", "red")),
    ),
    target="y",
)


def fitted() -> tuple[Pipeline, pd.DataFrame]:
    """Return a pipeline with both of our own transformers, and its rows."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "when": pd.Series(
                pd.date_range("2024-01-01", periods=80, freq="D").strftime("%Y-%m-%d"), dtype=object
            ),
            "x": random.normal(size=80),
            "flag": np.where(random.random(80) < 0.1, np.nan, random.integers(0, 2, 80)),
            "color": pd.Series(random.choice(["red", "blue"], 80), dtype=object),
        }
    )
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer(
        [
            ("dates", CalendarFeatures(), ["when"]),
            ("numbers", "passthrough", ["x", "flag"]),
            ("categories", make_pipeline(CategoryText(), codes), ["color"]),
        ]
    )
    model = HistGradientBoostingRegressor(max_iter=5, categorical_features=[10], random_state=0)
    return make_pipeline(columns, model).fit(frame, frame["x"] * 2), frame


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version's folder, logged to a fresh store."""
    folder = tmp_path_factory.mktemp("flavor")
    pipeline, frame = fitted()
    graph = compile_pipeline(pipeline, SCHEMA)
    parity = Parity(rows=80, max_abs=0.0, max_rel=0.0, target_sd=2.0)
    write_scorer(folder / "scorer", graph=graph, schema=SCHEMA, frame=frame, fingerprint="f", parity=parity)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    try:
        experiment = mlflow.create_experiment("flavor", artifact_location=str(folder / "artifacts"))
        with mlflow.start_run(experiment_id=experiment):
            info = log_version(
                pipeline, schema=SCHEMA, scorer_folder=folder / "scorer", input_example=frame.head(3)
            )
        logged = Path(mlflow.artifacts.download_artifacts(info.model_uri, dst_path=str(folder / "version")))
    finally:
        mlflow.set_tracking_uri(before)
    frame.to_csv(folder / "rows.csv", index=False)
    return logged


def test_the_scorer_gives_the_pipelines_numbers(version: Path) -> None:
    """Both ways to run a version agree."""
    pipeline, frame = fitted()
    scorer = Scorer.load(version / "scorer")
    np.testing.assert_allclose(scorer.predict(pack_frame(frame, SCHEMA)), pipeline.predict(frame), rtol=1e-12)
    flavors = mlflow.models.Model.load(str(version)).flavors
    assert set(flavors) == {"python_function", "sklearn", "slipway"}
    assert flavors["slipway"]["digest"] == scorer.digest
    assert flavors["python_function"]["loader_module"] == "mlflow.sklearn"


OUTSIDE = """
import json, sys, mlflow, pandas as pd
frame = pd.read_csv("rows.csv").astype({"x": float, "flag": float})
version = sys.argv[1]
stock, plain = mlflow.pyfunc.load_model(version), mlflow.sklearn.load_model(version)
found = [list(model.predict(frame)) for model in (stock, plain)]
print(json.dumps([*found, sys.modules["training"].__path__[0]]))
"""


def test_stock_mlflow_runs_it_outside_the_repository(version: Path) -> None:
    """The code that loads is the version's own; `mlflow models predict` gives the same numbers."""
    pipeline, frame = fitted()
    home = version.parent
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    run = {"cwd": home, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", OUTSIDE, str(version)], check=True, **run)
    stock, plain, code = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(stock, pipeline.predict(frame), rtol=1e-12)
    np.testing.assert_allclose(plain, pipeline.predict(frame), rtol=1e-12)
    assert str(version) in code
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "models",
        "predict",
        "-m",
        str(version),
        "-i",
        "rows.csv",
        "-t",
        "csv",
    ]
    subprocess.run([*command, "-o", "out.json", "--env-manager", "local"], check=True, **run)
    answered = pd.DataFrame(json.loads((home / "out.json").read_text())["predictions"]).to_numpy().ravel()
    np.testing.assert_allclose(answered, pipeline.predict(frame), rtol=1e-12)


def test_only_the_models_own_packages_are_asked_for(version: Path) -> None:
    """And with exact versions."""
    lines = (version / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in lines] == ["mlflow", "scikit-learn", "pandas", "numpy", "skops"]
    shipped = {path.name for path in (version / "code" / "training").iterdir() if path.suffix == ".py"}
    assert shipped == {"__init__.py", "transformers.py", "lightgbm_text.py"}


def test_a_boolean_is_a_double_in_the_signature() -> None:
    """MLflow's boolean type turns null into False without a word."""
    types = [str(column["type"]) for column in signature_of(SCHEMA).inputs.to_dict()]
    assert types == ["string", "double", "double", "string"]


def test_a_type_that_is_not_on_the_list_is_refused() -> None:
    """Trust is given type by type, never to whatever a pipeline holds."""
    with pytest.raises(UncompilableStep, match="may not hold this type"):
        trusted_types(make_pipeline(FunctionTransformer(json.dumps)))
