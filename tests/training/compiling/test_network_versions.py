"""A Keras network as a version: its file, both ways to serve it, and what a gate asks of it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import psutil
import pytest

from data.tables import Table
from serving.scorer.document import Parity, read_document
from tests.conftest import ROOT
from tests.serving.conftest import serve
from tests.training.compiling.network_rows import COLUMNS, FRAME, SCHEMA, SPREAD, TARGET
from training.compiling import compile_verified, write_scorer
from training.compiling.errors import NoTensorFlow, UnreadableNetwork
from training.compiling.keras import load_network
from training.gate.trial import Trial
from training.records import model_registry
from training.versions import flavor


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
        registered = model_registry.register(
            "flights", first, run_id=run.info.run_id, tags={}, description=""
        )
        again = flavor.log_version(registered.pipeline(), **options)
    assert first.digest == again.digest
    ours = registered.predict(FRAME)
    np.testing.assert_allclose(registered.pipeline().predict(FRAME), ours, rtol=1e-5, atol=1e-5 * SPREAD)
    checks = trial_of(registered, ours).proofs()
    assert all(check.passed for check in checks), checks
    assert [check.limit for check in checks[:2]] == ["at most 1e-05"] * 2


def trial_of(registered: model_registry.Version, ours: np.ndarray) -> Trial:
    """A trial on the flights without a champion."""
    count = len(FRAME)
    return Trial(
        version=registered,
        champion=None,
        rows=Table("flights", FRAME, dict.fromkeys(COLUMNS, "number")),
        actual=TARGET,
        ours=ours,
        theirs=None,
        clusters=np.arange(count),
        moments=None,
        twins=np.zeros(count, dtype=bool),
        training_mean=float(TARGET.mean()),
    )


@pytest.mark.soak
def test_a_network_is_adopted_as_any_other_model(fitted: Any, tracking: Any) -> None:
    """The file, the rows and the target are all that the command needs; the gate compares at float32's tolerance."""
    from training.__main__ import main

    fitted.save("flights.keras")
    FRAME.assign(delay=TARGET).dropna().to_csv("rows.csv", index=False)
    words = ["--model", "flights.keras", "--data", "rows.csv", "--target", "delay", "--name", "network"]
    assert main(["adopt", *words]) == 0
    champion = model_registry.champion("network")
    assert champion is not None
    expected = fitted.predict(FRAME.to_numpy(), verbose=0).ravel().astype(float)
    np.testing.assert_allclose(champion.predict(FRAME), expected, rtol=1e-5, atol=1e-5 * SPREAD)


@pytest.mark.soak
def test_a_file_that_needs_code_is_refused(keras: Any, tmp_path: Path) -> None:
    """Loading is not running: Keras's safe mode, and no class that only its author has."""

    @keras.saving.register_keras_serializable("ours")
    class Own(keras.layers.Dense):
        pass

    def refuse(path: Path, reason: str) -> None:
        with pytest.raises(
            UnreadableNetwork, match=rf"{path.name} cannot be read as a Keras network: .*{reason}"
        ) as caught:
            load_network(path)
        assert "\n" not in str(caught.value)

    layers, file = keras.layers, tmp_path / "odd.keras"
    for layer, reason in ((layers.Lambda(lambda x: x * 2), "`Lambda` layer"), (Own(1), "class 'Own'")):
        keras.Sequential([keras.Input((5,)), layer, layers.Dense(1)]).save(file)
        keras.saving.get_custom_objects().clear()
        refuse(file, reason)
    keras.Sequential([keras.Input((5,)), layers.Dense(1, "tanh")]).save(file)
    with zipfile.ZipFile(file) as kept:
        parts = {name: kept.read(name) for name in kept.namelist()}
    command = b'{"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}'
    with zipfile.ZipFile(file, "w") as changed:
        for name, content in parts.items():
            changed.writestr(name, content.replace(b'"tanh"', command))
    refuse(file, "function 'system'")


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
    with pytest.raises(NoTensorFlow, match=r"to read: pip install '\.\[tensorflow\]' in Slipway's folder$"):
        load_network(tmp_path / "model.keras")


def test_the_tolerance_is_written_only_where_it_is_wider() -> None:
    """Every other version keeps its bytes, and so its digest."""
    plain, wide = Parity(10, 0.0, 0.0, 1.0), Parity(10, 0.0, 1e-6, 1.0, 1e-5)
    assert "tolerance" not in plain.as_dict()
    assert wide.as_dict()["tolerance"] == 1e-5
    assert wide.holds
    assert not Parity(10, 0.0, 1e-6, 1.0).holds
