"""A version that stock MLflow loads as a scikit-learn or Keras model, with the scorer beside it.

The flavor `slipway` adds the folder `scorer/` and one entry in `MLmodel`; everything else is
what `mlflow.sklearn` or `mlflow.tensorflow` writes. A network is kept as a `.keras` file, a
pipeline as skops, with each type that a loader must trust named one by one from the list below: a
type that is not on it is refused here, not waved through there. It knows no registry.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import skops.io
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, TensorSpec
from mlflow.types import Schema as MlflowSchema

from data.schema import Schema
from serving.scorer import Scorer
from serving.scorer_format import FORMAT
from training.compiling.errors import UncompilableStep
from training.compiling.networks import Network, adapted, packages

FLAVOR_NAME = "slipway"
SCORER_FOLDER = "scorer"
SHIPPED_CODE = ("__init__.py", "transformers.py")
"""All of this package that a version carries: the feature steps that scikit-learn lacks."""

REQUIREMENTS = ("mlflow", "scikit-learn", "pandas", "numpy", "skops")
"""What stock MLflow needs to run a pipeline."""

TRUSTED = frozenset(
    [
        "builtins.object",
        "functools.partial",
        "numpy.dtype",
        "numpy.number",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
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
        "training.transformers.CalendarFeatures",
        "training.transformers.CategoryText",
    ]
)
"""Types that skops does not trust by itself and that pipelines are made of: ours, or those that people adopt."""


@dataclass(frozen=True)
class Logged:
    """A model in MLflow, not yet registered.

    Attributes
    ----------
    model_uri, model_id : str
        Its address and number.
    digest : str
        Of its scorer.
    """

    model_uri: str
    model_id: str
    digest: str


def log_version(
    model: Any,
    *,
    schema: Schema,
    scorer_folder: Path,
    input_example: pd.DataFrame,
    name: str = "model",
    metadata: Mapping[str, Any] | None = None,
) -> Logged:
    """Log a fitted model and its scorer to the active run.

    Parameters
    ----------
    model : scikit-learn estimator, Keras model or Network
        As it was compiled.
    schema : Schema
        For the signature.
    scorer_folder : Path
        As `training.compiling.write_scorer` left it.
    input_example : pandas.DataFrame
        A few training rows, shown in the UI and tried by MLflow's own tools.

    Raises
    ------
    UncompilableStep
        The pipeline holds a type that no loader should trust.
    ModelError
        The scorer's folder is broken.
    """
    info = Model.log(
        artifact_path=None,
        name=name,
        flavor=sys.modules[__name__],
        fitted=model,
        schema=schema,
        scorer_folder=scorer_folder,
        input_example=input_example[list(schema.names)],
        metadata=dict(metadata or {}) or None,
    )
    return Logged(info.model_uri, info.model_id, info.flavors[FLAVOR_NAME]["digest"])


def save_model(
    fitted: Any,
    path: str | Path,
    *,
    schema: Schema,
    scorer_folder: Path,
    input_example: pd.DataFrame | None = None,
    mlflow_model: Model | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the version's folder: what MLflow writes for this kind of model, and `scorer/`."""
    digest = Scorer.load(scorer_folder).digest
    written, fitted = mlflow_model or Model(), adapted(fitted)
    save_stock = _save_network if isinstance(fitted, Network) else _save_pipeline
    save_stock(
        fitted,
        str(path),
        mlflow_model=written,
        signature=signature_of(schema),
        input_example=input_example,
        metadata=metadata,
    )
    shutil.copytree(scorer_folder, Path(path) / SCORER_FOLDER)
    written.add_flavor(FLAVOR_NAME, scorer=SCORER_FOLDER, format=FORMAT, digest=digest)
    written.save(str(Path(path) / MLMODEL_FILE_NAME))


def _save_pipeline(pipeline: Any, path: str, **options: Any) -> None:
    with tempfile.TemporaryDirectory() as staging:
        mlflow.sklearn.save_model(
            pipeline,
            path,
            code_paths=[str(_staged_code(Path(staging)))],
            pip_requirements=_pinned(REQUIREMENTS),
            serialization_format="skops",
            skops_trusted_types=trusted_types(pipeline),
            **options,
        )


def _save_network(network: Network, path: str, *, signature: ModelSignature, **options: Any) -> None:
    """Write a Keras model; MLflow writes tensors' signatures only, and loads one of columns as well."""
    import mlflow.tensorflow  # noqa: PLC0415 - for those who have TensorFlow

    tensor = TensorSpec(np.dtype(np.float64), (-1, network.n_features_in_))
    mlflow.tensorflow.save_model(
        network.uncompiled,
        path,
        signature=ModelSignature(MlflowSchema([tensor])),
        pip_requirements=_pinned(("mlflow", "pandas", "numpy", *packages(network))),
        **options,
    )
    options["mlflow_model"].signature = signature


def load_model(uri: str) -> Any:
    """Return the fitted pipeline or network of a version, as stock MLflow loads it."""
    if "tensorflow" not in mlflow.models.get_model_info(uri).flavors:
        return mlflow.sklearn.load_model(uri)
    from mlflow.tensorflow import load_model as load_network  # noqa: PLC0415 - as above

    return adapted(load_network(uri))


def _pinned(names: Sequence[str]) -> list[str]:
    return [f"{name}=={version(name)}" for name in names]


def signature_of(schema: Schema) -> ModelSignature:
    """Return the signature: double for numbers and booleans, string for the rest, and a double out.

    A boolean is a double because MLflow's boolean turns null into False without a word.
    """
    doubles = {"number", "boolean"}
    inputs = [
        ColSpec(DataType.double if column.kind in doubles else DataType.string, column.name, required=True)
        for column in schema.columns
    ]
    return ModelSignature(
        inputs=MlflowSchema(inputs),
        outputs=MlflowSchema([ColSpec(DataType.double)]),
        # Stock MLflow knows no intervals and ignores it; a default would be filled in for every request.
        params=ParamSchema([ParamSpec("coverage", "double", None)]),
    )


def trusted_types(pipeline: Any) -> list[str]:
    """Return the types that a loader must trust, all of them on our list; raises UncompilableStep."""
    needed = skops.io.get_untrusted_types(data=skops.io.dumps(pipeline))
    strange = sorted(set(needed) - TRUSTED)
    if strange:
        raise UncompilableStep(
            step=strange[0], reason="a version may not hold this type: loading it is not safe"
        )
    return sorted(needed)


def _staged_code(folder: Path) -> Path:
    """Copy the shipped files to a folder that imports as `training`."""
    package = folder / "training"
    package.mkdir()
    for file in SHIPPED_CODE:
        shutil.copy(Path(__file__).parent / file, package / file)
    return package
