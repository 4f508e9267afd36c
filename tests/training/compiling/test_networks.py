"""Keras networks become graphs: what each layer computes, what is refused, and both ways to serve one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import psutil
import pytest

from data.schema import Column, Schema
from data.sources import open_source
from data.tables import Table, describe, load_table
from serving.graph_guard import check_graph
from serving.scorer import Session
from serving.scorer_format import TOLERANCE, Parity, read_document
from tests.conftest import ROOT, missing_part
from tests.serving.conftest import serve
from training import flavor, registry
from training.compiling import (
    NoTensorFlow,
    ParityFailed,
    UncompilableStep,
    UnreadableNetwork,
    compile_pipeline,
    compile_verified,
    load_network,
    pack_frame,
    write_scorer,
)
from training.compiling.activations import ACTIVATIONS
from training.compiling.layers import PIECES
from training.trial import Trial

pytestmark = pytest.mark.filterwarnings(  # Keras's own call of numpy
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:keras.src.backend.tensorflow.core"
)

Build = Callable[[Any, dict[str, str]], list[Any]]

COLUMNS = ["month", "hour", "dep_delay", "distance", "late"]


def rows() -> tuple[pd.DataFrame, np.ndarray, Schema]:
    """Flights as numbers and a boolean, and their delay on arrival."""
    table = load_table(open_source(str(ROOT / "data/samples/flights.csv")))
    frame = table.frame.assign(late=(table.frame["dep_delay"] > 0).astype(float)).iloc[::20]
    described = describe(table, COLUMNS[:-1], target="arr_delay")
    schema = Schema((*described.columns, Column("late", "boolean")), target="arr_delay")
    frame = frame.reset_index(drop=True)
    return frame[COLUMNS], frame["arr_delay"].to_numpy(), schema


FRAME, TARGET, SCHEMA = rows()
SPREAD = float(np.std(TARGET))


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, whose import takes seconds."""
    if importlib.util.find_spec("tensorflow") is None:
        missing_part("TensorFlow (pip install 'slipway[tensorflow]')")
    import keras

    return keras


def functional(keras: Any, middle: Build, dtype: str) -> Any:
    """Return a model whose weights are random, between an adapted normalization and one unit."""
    keras.utils.set_random_seed(3)
    layers, kind = keras.layers, {"dtype": dtype}
    normalization = layers.Normalization(**kind)
    given = keras.Input((len(COLUMNS),))
    values = layers.Dense(6, **kind)(normalization(given))
    for step in middle(layers, kind):
        values = step(values)
    model = keras.Model(given, layers.Dense(1, **kind)(values))
    random = np.random.default_rng(3)
    for weights in model.trainable_variables:  # an offset of 0 or a scale of 1 would hide its absence
        weights.assign(weights + random.normal(scale=0.2, size=weights.shape))
    normalization.adapt(FRAME.to_numpy())
    return model


def furthest(model: Any, graph: bytes) -> float:
    """Return how far the graph is from Keras's own predictions on rows that nobody compared."""
    frame = FRAME.sample(400, random_state=1) * np.random.default_rng(1).uniform(
        0.5, 2.0, (400, len(COLUMNS))
    )
    check_graph(graph, columns=len(COLUMNS))
    found = Session(graph).predict(pack_frame(frame, SCHEMA))
    expected = model.predict(frame.to_numpy(), verbose=0).reshape(-1).astype(float)
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), np.std(expected))))


def nested(layers: Any, kind: dict[str, str]) -> list[Any]:
    """One model and one chain inside the model, the first called twice."""
    from keras import Input, Model, Sequential

    given = Input((6,), **kind)
    shared = Model(given, layers.Dense(6, **kind)(given))
    chain = Sequential([Input((6,), **kind), layers.Dense(6, "tanh", **kind)])
    return [shared, chain, lambda values: layers.Concatenate(**kind)([shared(values), values])]


LAYERS: dict[str, Build] = {
    "ReLU": lambda layers, kind: [layers.ReLU(**kind)],
    "ReLU up to": lambda layers, kind: [layers.ReLU(max_value=1.0, **kind)],
    "ReLU slope": lambda layers, kind: [layers.ReLU(negative_slope=0.1, max_value=1.0, **kind)],
    "ReLU from": lambda layers, kind: [layers.ReLU(negative_slope=0.3, threshold=0.2, **kind)],
    "LeakyReLU": lambda layers, kind: [layers.LeakyReLU(0.1, **kind)],
    "PReLU": lambda layers, kind: [layers.PReLU(**kind)],
    "ELU": lambda layers, kind: [layers.ELU(0.7, **kind)],
    "Activation": lambda layers, kind: [layers.Activation("swish", **kind)],
    "Dense": lambda layers, kind: [layers.Dense(4, use_bias=False, activation=layers.ELU(**kind), **kind)],
    "BatchNormalization": lambda layers, kind: [layers.BatchNormalization(**kind)],
    "BatchNormalization bare": lambda layers, kind: [
        layers.BatchNormalization(scale=False, center=False, **kind)
    ],
    "LayerNormalization": lambda layers, kind: [layers.LayerNormalization(**kind)],
    "LayerNormalization bare": lambda layers, kind: [
        layers.LayerNormalization(scale=False, center=False, **kind)
    ],
    "Normalization": lambda layers, kind: [
        layers.Normalization(mean=[0.3] * 6, variance=[2.0] * 6, invert=True, **kind)
    ],
    "Rescaling": lambda layers, kind: [layers.Rescaling(1 / 3, 0.1, **kind)],
    "Flatten": lambda layers, kind: [layers.Flatten(**kind)],
    "Identity": lambda layers, kind: [layers.Identity(**kind)],
    "Add": lambda layers, kind: [lambda v: layers.Add(**kind)([v, layers.Dense(6, **kind)(v), v])],
    "Concatenate": nested,
    "Dropout": lambda layers, kind: [layers.Dropout(0.4, **kind)],
    "AlphaDropout": lambda layers, kind: [layers.AlphaDropout(0.4, **kind)],
    "GaussianDropout": lambda layers, kind: [layers.GaussianDropout(0.4, **kind)],
    "GaussianNoise": lambda layers, kind: [layers.GaussianNoise(0.4, **kind)],
    "ActivityRegularization": lambda layers, kind: [layers.ActivityRegularization(0.1, **kind)],
}
"""Each layer between two dense ones."""


def test_every_layer_that_compiles_is_compared() -> None:
    """The comparisons below leave none out."""
    assert {name.split()[0] for name in LAYERS} == set(PIECES)


def activations(layers: Any, kind: dict[str, str]) -> list[Any]:
    """All activations side by side."""
    return [
        lambda values: layers.Concatenate(**kind)(
            [layers.Dense(3, activation=name, **kind)(values) for name in ACTIVATIONS]
        )
    ]


CASES = {
    **LAYERS,
    **{
        name: lambda layers, kind, name=name: [layers.Dense(5, activation=name, **kind)]
        for name in ACTIVATIONS
    },
}


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
def test_a_network_in_float64_is_exact(name: str, keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer and each activation, on real and hard rows, against Keras's own predictions."""
    monkeypatch.setattr("training.compiling.parity.HARD_ROWS_EACH", 300)
    model = functional(keras, CASES[name], "float64")
    compiled = compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)
    assert compiled.parity.tolerance == TOLERANCE
    assert furthest(model, compiled.graph) <= TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("name", ["activations", *(name for name in LAYERS if " " not in name)])
def test_a_network_in_float32_is_exact_but_for_its_rounding(
    name: str, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact beside the same network computed in float64, within 1e-5 of the network as it is."""
    monkeypatch.setattr("training.compiling.parity.HARD_ROWS_EACH", 300)
    model = functional(keras, LAYERS.get(name, activations), "float32")
    compiled = compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)
    assert TOLERANCE < compiled.parity.max_rel <= compiled.parity.tolerance == 1e-5
    assert furthest(model, compiled.graph) <= 1e-5


@pytest.mark.soak
def test_a_model_that_is_all_of_another_model_compiles(keras: Any) -> None:
    """Keras counts the calls of such a model from one, where it is the output, and else from zero."""
    inner = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    values, given = keras.Input((5,)), keras.Input((5,))
    for part in (inner, keras.Model(values, keras.layers.Dense(1)(values))):
        model = keras.Model(given, part(keras.layers.Dense(5)(given)))
        assert furthest(model, compile_pipeline(model, SCHEMA)) <= 1e-5


@pytest.mark.soak
def test_values_are_rounded_as_keras_rounds_them(keras: Any) -> None:
    """Its `predict` makes float32 of every input, unless Keras is set otherwise: 16,777,217 is 16,777,216 then."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, dtype="float64")])
    matrix = np.full((1, 5), 16_777_217.0)
    for setting in ("float32", "float64"):
        keras.config.set_floatx(setting)
        try:
            if setting == "float64":
                model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
            found = Session(compile_pipeline(model, SCHEMA)).predict(matrix)
            np.testing.assert_allclose(found, model.predict(matrix, verbose=0).ravel(), rtol=1e-15)
        finally:
            keras.config.set_floatx("float32")


@pytest.mark.soak
def test_what_does_not_compile_is_refused_by_name(keras: Any) -> None:
    """Never a wrong number later."""
    layers, given = keras.layers, keras.Input((5,))

    class Doubled(layers.Dense):
        def call(self, values: Any) -> Any:
            return 2 * super().call(values)

    kept = layers.Dropout(0.5)(layers.Dense(2)(given), training=True)
    refused = {
        r"Softmax \('softmax'\)": [layers.Dense(3), layers.Softmax(name="softmax"), layers.Dense(1)],
        "its activation softmax": [layers.Dense(3, "softmax"), layers.Dense(1)],
        "its activation <lambda>": [layers.Dense(3, lambda x: x), layers.Dense(1)],
        "Doubled": [Doubled(1)],
        r"must be \[\(None, 5\), \(None, 1\)\]": [layers.Dense(2)],
        "it mixes float16, float32": [layers.Dense(1, dtype="mixed_float16")],
        "its axis is 0": keras.Model(given, layers.Dense(1)(layers.Concatenate(axis=0)([given, given]))),
        "called with more than its input": keras.Model(given, layers.Dense(1)(kept)),
        "Multiply": keras.Model(given, layers.Dense(1)(layers.Multiply()([given, given]))),
        "it was not built": keras.Sequential([layers.Dense(1)]),
        r"outputs are \[\(None, 5\), \(None, 5\)": keras.Model(
            [given, keras.Input((5,))], layers.Dense(1)(given)
        ),
    }
    for reason, given in refused.items():
        model = keras.Sequential([keras.Input((5,)), *given]) if isinstance(given, list) else given
        with pytest.raises(UncompilableStep, match=reason):
            compile_pipeline(model, SCHEMA)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Column("late", "category", categories=("no", "yes")), "'late' is a category"),
        (Column("late", "datetime"), "'late' is a datetime"),
        (Column("late", "number", missing=True), "'late' has missing values"),
    ],
)
def test_a_column_that_a_network_cannot_take_is_refused(column: Column, reason: str, keras: Any) -> None:
    """It takes numbers alone, and what it makes of a gap depends on the kernel."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(UncompilableStep, match=reason):
        compile_pipeline(model, Schema((*SCHEMA.columns[:-1], column), target="arr_delay"))


@pytest.mark.soak
def test_a_network_that_drowns_in_rounding_is_refused(keras: Any) -> None:
    """A million more and a million less leaves one digit after the point: no tolerance hides that."""

    def far(layers: Any, kind: dict[str, str]) -> list[Any]:
        return [layers.Rescaling(1.0, 1e6, **kind), layers.ReLU(**kind), layers.Rescaling(1.0, -1e6, **kind)]

    model = functional(keras, far, "float32")
    with pytest.raises(ParityFailed, match="at most 1e-05 is allowed"):
        compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)


@pytest.fixture(scope="module")
def fitted(keras: Any) -> Any:
    """Three epochs on the flights, with a loss of our own that no loader knows."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    normalization = layers.Normalization()
    normalization.adapt(FRAME.to_numpy())
    hidden = [layers.Dense(32, "relu"), layers.Dropout(0.1), layers.Dense(16, "gelu")]
    model = keras.Sequential([keras.Input((len(COLUMNS),)), normalization, *hidden, layers.Dense(1)])

    def loss(actual: Any, found: Any) -> Any:
        return keras.ops.mean(keras.ops.abs(actual - found))

    model.compile("adam", loss)
    model.fit(FRAME.to_numpy(), TARGET, epochs=3, verbose=0)
    return model


@pytest.fixture(scope="module")
def version(fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version's folder, from the `.keras` file."""
    folder = tmp_path_factory.mktemp("network")
    fitted.save(folder / "flights.keras")
    network = load_network(folder / "flights.keras")
    compiled = compile_verified(network, schema=SCHEMA, frame=FRAME, target=TARGET)
    write_scorer(
        folder / "scorer",
        graph=compiled.graph,
        schema=SCHEMA,
        frame=FRAME,
        fingerprint="flights",
        parity=compiled.parity,
        packages=compiled.packages,
    )
    options = {"schema": SCHEMA, "scorer_folder": folder / "scorer", "input_example": FRAME.head(3)}
    flavor.save_model(fitted, folder / "version", **options)
    return folder / "version"


@pytest.mark.soak
def test_it_is_served_without_tensorflow(version: Path, fitted: Any) -> None:
    """No process of the server maps any of its libraries; the answers are Keras's."""
    frame = FRAME.tail(200)
    body = {"dataframe_split": frame.astype({"late": bool}).to_dict(orient="split")}
    with serve("--model", str(version)) as served:
        status, answer, _ = served.call("/invocations", body)
        parent = psutil.Process(served.process.pid)
        mapped = {
            file.path
            for process in (parent, *parent.children(recursive=True))
            for file in process.memory_maps()
        }
    assert status == 200
    assert any("onnxruntime" in path for path in mapped)
    assert not [path for path in mapped if "tensorflow" in path or "h5py" in path]
    expected = fitted.predict(frame.to_numpy(), verbose=0).ravel().astype(float)
    np.testing.assert_allclose(answer["predictions"], expected, rtol=1e-5, atol=1e-5 * SPREAD)


STOCK = """
import json, sys, mlflow, pandas as pd
frame = pd.read_csv(sys.argv[2]).astype(float)
stock = mlflow.pyfunc.load_model(sys.argv[1]).predict(frame)
plain = mlflow.tensorflow.load_model(sys.argv[1]).predict(frame.to_numpy(), verbose=0)
print()
print(json.dumps([stock["0"].tolist() if "0" in stock else stock[0].tolist(), plain.ravel().tolist()]))
"""


@pytest.mark.soak
def test_stock_mlflow_runs_it_outside_the_repository(version: Path, fitted: Any, tmp_path: Path) -> None:
    """With its own wrapper for Keras, which needs nothing of ours, and finds columns by name."""
    frame = FRAME.tail(200)
    frame[COLUMNS[::-1]].to_csv(tmp_path / "rows.csv", index=False)
    script = STOCK.replace("plain = ", f"frame = frame[{COLUMNS}]\nplain = ")
    words = [sys.executable, "-c", script, str(version), "rows.csv"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = fitted.predict(frame.to_numpy(), verbose=0).ravel()
    for found in json.loads(done.stdout.splitlines()[-1]):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * SPREAD)


@pytest.mark.soak
def test_the_version_says_what_it_needs_and_how_near_it_is(version: Path) -> None:
    """Pinned packages, the tolerance beside the parity, columns in the signature."""
    content = (version / "scorer" / "scorer.json").read_bytes()
    written = json.loads(content)
    assert {"keras", "scikit-learn"} <= written["versions"].keys()
    assert any(name.startswith("tensorflow") for name in written["versions"])
    assert written["parity"]["max_rel"] <= written["parity"]["tolerance"] == 1e-5
    jsonschema.validate(written, json.loads((ROOT / "docs/scorer.schema.json").read_text()))
    assert read_document(content)[0].parity.holds
    needed = (version / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in needed][:4] == ["mlflow", "pandas", "numpy", "keras"]
    assert '"name": "dep_delay"' in (version / "MLmodel").read_text()


@pytest.mark.soak
def test_the_gate_holds_a_version_to_its_own_tolerance(version: Path, fitted: Any, tracking: Any) -> None:
    """What the registry gives is again what `log_version` takes; stock MLflow and the server agree to 1e-5."""
    import mlflow

    options = {"schema": SCHEMA, "scorer_folder": version / "scorer", "input_example": FRAME.head(3)}
    with mlflow.start_run() as run:
        first = flavor.log_version(fitted, **options)
        registered = registry.register("flights", first, run_id=run.info.run_id, tags={}, description="")
        again = flavor.log_version(registered.pipeline(), **options)
    assert first.digest == again.digest
    ours = registered.predict(FRAME)
    np.testing.assert_allclose(registered.pipeline().predict(FRAME), ours, rtol=1e-5, atol=1e-5 * SPREAD)
    checks = trial_of(registered, ours).proofs()
    assert all(check.passed for check in checks), checks
    assert [check.limit for check in checks[:2]] == ["at most 1e-05"] * 2


def trial_of(registered: registry.Version, ours: np.ndarray) -> Trial:
    """A trial on the flights without a champion."""
    count = len(FRAME)
    return Trial(
        version=registered,
        champion=None,
        rows=Table("flights", FRAME, dict.fromkeys(COLUMNS, "number")),
        actual=TARGET,
        ours=ours,
        theirs=None,
        draws=np.arange(count),
        moments=None,
        twins=np.zeros(count, dtype=bool),
        training_mean=float(TARGET.mean()),
    )


@pytest.mark.soak
def test_a_file_that_needs_code_is_refused(keras: Any, tmp_path: Path) -> None:
    """Loading is not running: Keras's safe mode, and no class that only its author has."""

    @keras.saving.register_keras_serializable("ours")
    class Own(keras.layers.Dense):
        pass

    for layer in (keras.layers.Lambda(lambda x: x * 2), Own(1)):
        keras.Sequential([keras.Input((5,)), layer, keras.layers.Dense(1)]).save(tmp_path / "odd.keras")
        keras.saving.get_custom_objects().clear()
        with pytest.raises(
            UnreadableNetwork, match=r"odd.keras cannot be read as a Keras network: .*\S"
        ) as caught:
            load_network(tmp_path / "odd.keras")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", None])
def test_what_is_no_keras_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """Empty, a pickle, nothing there: before TensorFlow is even imported."""
    path = tmp_path / "model.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableNetwork, match=r"model.keras cannot be read .* no .keras file"):
        load_network(path)


def test_without_tensorflow_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra of more than a gigabyte."""
    monkeypatch.setitem(sys.modules, "keras", None)  # what an absent package does to its import
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as file:
        file.writestr("config.json", "{}")
    with pytest.raises(NoTensorFlow, match=r"takes TensorFlow to read: pip install 'slipway\[tensorflow\]'$"):
        load_network(tmp_path / "model.keras")


def test_the_tolerance_is_written_only_where_it_is_wider() -> None:
    """Every other version keeps its bytes, and so its digest."""
    plain, wide = Parity(10, 0.0, 0.0, 1.0), Parity(10, 0.0, 1e-6, 1.0, 1e-5)
    assert "tolerance" not in plain.as_dict()
    assert wide.as_dict()["tolerance"] == 1e-5
    assert wide.holds
    assert not Parity(10, 0.0, 1e-6, 1.0).holds
