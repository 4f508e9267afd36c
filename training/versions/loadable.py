"""What of a version may be loaded here: the files, loaders and types that Slipway itself writes, and nothing else.

`mlflow.sklearn` and `pyfunc` import whatever MLmodel names, unpickle where it says so and put `code/` before everything
else: who writes these files chooses what runs. So a version's folder, whose digest was compared before, is held to this
list before MLflow is asked to load it. It loads nothing, and knows no registry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from serving.scorer import version_files
from training.versions.errors import NotLoadable

SHIPPED_CODE = ("__init__.py", "transformers.py", "lightgbm_text.py")
"""All of this package that a version carries: the feature steps that scikit-learn lacks, LightGBM's trees as text."""

KNOWN_CODE = frozenset(
    [
        "11ef4c429a6da5ca87c87e23d5a3e55d1dc25536fd83c73c4d359588a2825055",
        "4de8cdb933d292d450ee1d17daa3062e8f849ae64da1f78b7d338bb92b6ca681",
        "597cddbbcfd0a03a03656dd47e4494a0e823f1110c403974096f4b9fe6d96ce1",
        "a54df72b25d5e105899812beebdec175f988182dac44039cf6b86aa6f5bc3a5d",
        "caafd2d7e572019ac935bb6a2b47716141cfa375fdf1d4015821a0b46625020d",
        "2d82719303ffbef16a5fb4adef9a8bdd1fdc283df2f2431c1eda6a0bee461dee",
    ]
)
"""SHA-256 of the files that other releases shipped: those that are shipped now are added to it, none is taken away."""

LIGHTGBM = "training.lightgbm_text.LightGBMRegressor"

TRUSTED = frozenset(
    [
        "builtins.object",
        "functools.partial",
        "numpy.dtype",
        "numpy.number",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy.interpolate._bsplines._BSpline",  # in one since SciPy 1.18
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.DotProduct",
        "sklearn.gaussian_process.kernels.Matern",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.gaussian_process.kernels.RationalQuadratic",
        "sklearn.gaussian_process.kernels.Sum",
        "sklearn.gaussian_process.kernels.WhiteKernel",
        "sklearn.model_selection._split.KFold",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
        LIGHTGBM,
        "training.transformers.CalendarFeatures",
        "training.transformers.CategoryText",
    ]
)
"""Types that skops does not trust by itself and that pipelines are made of: ours, or those that people adopt."""

PIPELINE, NETWORK = "mlflow.sklearn", "mlflow.tensorflow"
COMMON_FILES = frozenset(
    [
        "MLmodel",
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "input_example.json",
        "serving_input_example.json",
        "scorer/model.onnx",
        "scorer/scorer.json",
        "scorer/explain.safetensors",
        "monitor/learned.json",
        "monitor/readings.json",
        "monitor/reference.json",
    ]
)
FILES = {
    PIPELINE: COMMON_FILES | {"model.skops", *(f"code/training/{file}" for file in SHIPPED_CODE)},
    NETWORK: COMMON_FILES | {"data/model.keras", "data/keras_module.txt", "data/save_format.txt"},
}
"""The files of a version, by what loads it."""

PYFUNC: dict[str, dict[str, Any]] = {
    PIPELINE: {"model_path": "model.skops", "predict_fn": "predict", "code": "code"},
    NETWORK: {"data": "data", "code": None},
}
FLAVOR: dict[str, dict[str, Any]] = {
    PIPELINE: {"pickled_model": "model.skops", "serialization_format": "skops", "code": "code"},
    NETWORK: {"data": "data", "model_type": "keras", "save_format": "tf", "code": None},
}
"""What MLmodel has to say about the stock flavor; the rest of its keys is taken as it is."""

KERAS_MODULES = frozenset(["keras", "keras._tf_keras.keras", "keras.api._v2.keras", "tensorflow.keras"])
"""What TensorFlow's releases call the Keras that came with them."""

FREE = {
    "python_function": {"loader_module", "env", "python_version"},
    "mlflow.sklearn": {"sklearn_version", "skops_trusted_types"},
    "mlflow.tensorflow": {"keras_version"},
}
"""Keys beside those, which choose nothing that is run."""


def check_loadable(folder: Path, *, name: str, version: str) -> None:
    """Raise NotLoadable unless a folder holds what Slipway writes, and asks for what Slipway asks for."""
    try:
        fault = _fault(folder)
    except (
        OSError,
        ValueError,
        TypeError,
        AttributeError,
        KeyError,
        yaml.YAMLError,
        RecursionError,
    ) as error:
        fault = f"MLmodel cannot be read ({type(error).__name__})"
    if fault:
        raise NotLoadable(name=name, version=version, fault=fault)


def _fault(folder: Path) -> str:
    flavors: Mapping[str, Any] = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    loader = flavors["python_function"]["loader_module"]
    if loader not in FILES:
        return f"MLmodel asks for the loader {loader!r}"
    stock = loader.removeprefix("mlflow.")
    if odd := sorted(flavors.keys() - {"python_function", stock, "slipway"}):
        return f"MLmodel has the flavor {odd[0]!r}"
    return (
        _wrong_words("python_function", flavors["python_function"], PYFUNC[loader], FREE["python_function"])
        or _wrong_words(stock, flavors[stock], FLAVOR[loader], FREE[loader])
        or _strange_types(flavors[stock])
        or _strange_files(folder, loader)
        or _strange_code(folder)
        or _strange_network(folder)
    )


def _wrong_words(flavor: str, found: Mapping[str, Any], needed: Mapping[str, Any], free: set[str]) -> str:
    for key, value in needed.items():
        if found.get(key) != value:
            return f"MLmodel says {key}: {str(found.get(key))[:60]} for {flavor}, must be {value}"
    odd = sorted(found.keys() - needed.keys() - free)
    return f"MLmodel has the key {odd[0]!r} for {flavor}" if odd else ""


def _strange_types(flavor: Mapping[str, Any]) -> str:
    strange = sorted(set(flavor.get("skops_trusted_types") or ()) - TRUSTED)
    return f"MLmodel asks to trust {strange[0]!r}" if strange else ""


def _strange_files(folder: Path, loader: str) -> str:
    strange = sorted(set(version_files.paths_in(folder)) - FILES[loader])
    return f"it holds {strange[0]!r}" if strange else ""


def _strange_code(folder: Path) -> str:
    for path in sorted(folder.glob("code/training/*.py")):
        content, ours = path.read_bytes(), Path(__file__).parents[1] / path.name
        if content != ours.read_bytes() and hashlib.sha256(content).hexdigest() not in KNOWN_CODE:
            return f"code/training/{path.name} is none that Slipway ships"
    return ""


def _strange_network(folder: Path) -> str:
    path = folder / "data" / "keras_module.txt"  # MLflow imports the module that it names
    module = path.read_text(encoding="utf-8") if path.is_file() else ""
    return f"it asks for the module {module[:60]!r}" if module and module not in KERAS_MODULES else ""
