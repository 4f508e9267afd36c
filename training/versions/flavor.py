"""A version that stock MLflow loads as a scikit-learn or Keras model, with the scorer beside it.

The flavor `slipway` adds the folder `scorer/` and one entry in `MLmodel`; everything else is what `mlflow.sklearn` or
`mlflow.tensorflow` writes. A network is kept as a `.keras` file, a pipeline as skops, with each type that a loader
must trust named one by one from the list of `training.versions.loadable`: a type that is not on it is refused here,
not waved through there. It knows no registry.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import skops.io
from mlflow.environment_variables import MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, TensorSpec
from mlflow.types import Schema as MlflowSchema

from data.own_files import own_folder
from data.schema import Schema
from serving.scorer import Document, Scorer, scorer_files, version_files
from training.compiling.errors import UncompilableStep
from training.compiling.keras import Network, adapted, packages
from training.versions.loadable import LIGHTGBM, SHIPPED_CODE, TRUSTED

FLAVOR_NAME = "slipway"
SCORER_FOLDER = "scorer"
REFERENCE = "monitor/reference.json"
"""What a monitor compares later rows with, within a version's folder."""

LEARNED = "monitor/learned.json"
"""By what rows that the model learned are known again; copies with other intervals have it, too."""

READ = "monitor/readings.json"
"""How the table was read that the model learned from; copies with other intervals have it, too."""

REQUIREMENTS = ("mlflow", "scikit-learn", "pandas", "numpy", "skops")
"""What stock MLflow needs to run a pipeline; beside them LightGBM, where its trees are asked."""


@dataclass(frozen=True)
class Logged:
    """A model in MLflow, not yet registered.

    Attributes
    ----------
    model_uri, model_id : str
        Its address and number.
    digest, files : str
        Of its scorer, and of all its files as they were before they left this process.
    """

    model_uri: str
    model_id: str
    digest: str
    files: str


def log_version(
    model: Any,
    *,
    schema: Schema,
    scorer_folder: Path,
    input_example: pd.DataFrame,
    reference: Mapping[str, Any] | None = None,
    learned: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
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
    reference : dict, optional
        What a monitor compares later rows with, as `training.monitoring.reference.Reference.as_dict` gives it.
    learned : dict, optional
        The sketch of the rows that it learned, as `training.rows.known.learned.Sketch.as_dict` gives it.
    read : dict, optional
        How their table was read, as `training.rows.known.how_read.HowRead.as_dict` gives it.

    Raises
    ------
    UncompilableStep
        The pipeline holds a type that no loader should trust.
    ModelError
        The scorer's folder is broken.
    """
    return _log(
        name=name,
        fitted=model,
        schema=schema,
        scorer_folder=scorer_folder,
        input_example=input_example[list(schema.names)],
        reference=reference,
        learned=learned,
        read=read,
        metadata=dict(metadata or {}) or None,
    )


def log_copy(
    version: Path, scorer_folder: Path, *, reference: Mapping[str, Any] | None = None, name: str = "model"
) -> Logged:
    """Log the model of a version's folder with another scorer and reference; nothing of the version is loaded.

    The folder is taken to be checked: `training.records.registry.model_registry.Version.folder`.
    """
    return _log(
        name=name,
        fitted=version,
        scorer_folder=scorer_folder,
        reference=reference,
        validate_serving_input=False,
    )


def log_files(version: Path, run_id: str, experiment_id: str, *, files: str, name: str = "model") -> Logged:
    """Log a version's folder byte for byte, so that its digests stay; `files` is the digest of all of them."""
    client = mlflow.MlflowClient()
    model = client.create_logged_model(experiment_id, name=name, source_run_id=run_id)
    client.log_model_artifacts(model.model_id, str(version))
    client.finalize_logged_model(model.model_id, "READY")
    digest = scorer_files.digest_in(version / SCORER_FOLDER)
    return Logged(model.model_uri, model.model_id, digest, files)


def _log(**options: Any) -> Logged:
    MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING.set(False)  # it would write MLmodel again
    digests: list[str] = []
    info = Model.log(artifact_path=None, flavor=sys.modules[__name__], on_saved=digests.append, **options)
    return Logged(info.model_uri, info.model_id, info.flavors[FLAVOR_NAME]["digest"], digests[-1])


def save_model(
    fitted: Any,
    path: str | Path,
    *,
    scorer_folder: Path,
    reference: Mapping[str, Any] | None = None,
    learned: Mapping[str, Any] | None = None,
    read: Mapping[str, Any] | None = None,
    mlflow_model: Model | None = None,
    on_saved: Callable[[str], None] = lambda _: None,
    validate_serving_input: bool = True,  # noqa: ARG001 - for `Model.log`, which hands on all that it gets
    **options: Any,
) -> None:
    """Write the version's folder: what MLflow writes for this kind of model, and `scorer/`.

    Parameters
    ----------
    fitted : Any
        A model, with `schema`, `input_example` and `metadata`; or a version's folder, whose model is taken.
    on_saved : callable
        Told the digest of all files.
    """
    digest = Scorer.load(scorer_folder).digest
    written = mlflow_model or Model()
    save_stock = _copy_stock if isinstance(fitted, Path) else _save_stock
    save_stock(fitted, Path(path), written, **options)
    shutil.copytree(scorer_folder, Path(path) / SCORER_FOLDER)
    for place, content in ((REFERENCE, reference), (LEARNED, learned), (READ, read)):
        if content is not None:
            (Path(path) / place).parent.mkdir(exist_ok=True)
            (Path(path) / place).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    written.add_flavor(FLAVOR_NAME, scorer=SCORER_FOLDER, format=Document.FORMAT, digest=digest)
    written.save(str(Path(path) / MLMODEL_FILE_NAME))
    on_saved(version_files.files_digest(version_files.only_files(Path(path))))


def _save_stock(
    fitted: Any,
    path: Path,
    written: Model,
    *,
    schema: Schema,
    input_example: pd.DataFrame | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    fitted = adapted(fitted)
    save = _save_network if isinstance(fitted, Network) else _save_pipeline
    save(
        fitted,
        str(path),
        mlflow_model=written,
        signature=signature_of(schema),
        input_example=input_example,
        metadata=metadata,
    )


def _copy_stock(version: Path, path: Path, written: Model) -> None:
    """Copy all but the scorer and the reference, and say in MLmodel what the version's says."""
    shutil.copytree(version, path, ignore=shutil.ignore_patterns(SCORER_FOLDER, Path(REFERENCE).name))
    old = Model.load(str(version))
    written.flavors = dict(old.flavors)
    written.signature, written.metadata = old.signature, old.metadata
    written.saved_input_example_info = old.saved_input_example_info
    written.model_size_bytes = old.model_size_bytes


def _save_pipeline(pipeline: Any, path: str, **options: Any) -> None:
    trusted = trusted_types(pipeline)
    with tempfile.TemporaryDirectory(dir=own_folder()) as staging:
        mlflow.sklearn.save_model(
            pipeline,
            path,
            code_paths=[str(_staged_code(Path(staging)))],
            pip_requirements=_pinned((*REQUIREMENTS, *["lightgbm"] * (LIGHTGBM in trusted))),
            serialization_format="skops",
            skops_trusted_types=trusted,
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


def load_model(version: Path) -> Any:
    """Return the fitted pipeline or network of a version's folder, checked before, as stock MLflow loads it."""
    if "tensorflow" not in Model.load(str(version)).flavors:
        return mlflow.sklearn.load_model(str(version))
    from mlflow.tensorflow import load_model as load_network  # noqa: PLC0415 - as above

    return adapted(load_network(str(version)))


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
        shutil.copy(Path(__file__).parents[1] / file, package / file)
    return package
