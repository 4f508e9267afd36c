"""Scoring a file beside stock MLflow: all 336,776 flights, ridge and 200-tree boosting.

Both sides are timed from opening the input to closing the output, in this process and with the
model loaded; stock does what `mlflow models predict` does: read the CSV, `pyfunc.predict`, write the
predictions as CSV. The whole commands are timed as well. The two sides' numbers are compared.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from benchmarks.models import logged_flights
from data.sources import open_source
from serving.batch import score_file
from serving.scorer import Scorer


def main() -> None:
    """Print rows per second for each side, and the ratio."""
