"""Rows become a fitted, measured, registered and promoted model. Knows `data` and `serving`."""

import os

# Before MLflow is imported, which counts its users online and picks an environment by a stray lock file.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
