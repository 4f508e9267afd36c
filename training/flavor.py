"""Thin stand-in until the compiled flavor lands."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec
from mlflow.types import Schema as MlflowSchema
from sklearn.pipeline import Pipeline

from data.schema import Schema

TRUSTED = ["numpy.dtype", "sklearn.utils._bunch.Bunch", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "training.transformers.CategoryText", "training.transformers.CalendarFeatures"]


def log_version(pipeline: Pipeline, *, schema: Schema, input_example: pd.DataFrame, name: str = "model") -> Any:
    signature = ModelSignature(
        inputs=MlflowSchema([ColSpec("double" if c.kind in ("number", "boolean") else "string", c.name) for c in schema.columns]),
        outputs=MlflowSchema([ColSpec("double")]),
    )
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder) / "training"
        code.mkdir()
        for file in ("__init__.py", "transformers.py"):
            (code / file).write_text((Path(__file__).parent / file).read_text())
        return mlflow.sklearn.log_model(
            pipeline, name=name, signature=signature, input_example=input_example, code_paths=[str(code)],
            serialization_format="skops", skops_trusted_types=TRUSTED,
            pip_requirements=[f"{p}=={version(p)}" for p in ("mlflow", "scikit-learn", "pandas", "numpy", "skops")],
        )
