"""What a command begins with: little, and its processes at once."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT
from training.console import startup
from training.search.processes import pool

LARGE = ("mlflow", "pandas", "scipy", "sklearn", "pyarrow")


def test_a_command_that_is_only_read_imports_nothing_large() -> None:
    """A mistyped parameter was told after 1.5 s of MLflow, and a training's processes began that much later."""
    words = f"import sys, training.__main__; print([name for name in {LARGE} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_processes_begin_with_the_module_that_they_run() -> None:
    """It is named in text, for importing it would take as long as the processes do."""
    assert pool.__name__ == startup.PROCESSES
