"""A command that is told to end while it loads what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SWALLOWS = """
import signal, sys

class Swallows:
    def find_spec(self, name, *_):
        if name == "pandas":
            try:
                signal.raise_signal(signal.SIGTERM)
            except BaseException:
                pass

sys.meta_path.insert(0, Swallows())
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
"""A library that loses what a handler raises while it is imported."""

ON_THE_LINE = ("--data", str(ROOT / "data" / "samples" / "line.csv"), "--target", "y")


@pytest.mark.parametrize(
    ("words", "opened"),
    [
        pytest.param(("train", *ON_THE_LINE), "", marks=pytest.mark.soak),
        pytest.param(("train", *ON_THE_LINE), "0123456789abcdef0123456789abcdef", marks=pytest.mark.soak),
        (("check", *ON_THE_LINE), ""),
        (("history", "--name", "line"), ""),
    ],
    ids=["train", "of mlflow run", "check", "history"],
)
def test_it_ends_once_all_is_loaded_whatever_a_library_makes_of_the_signal(
    words: tuple[str, ...], opened: str, tmp_path: Path
) -> None:
    """Of 24 trainings that were told to end as they began, one lost it and went on to its end."""
    others = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    given = {"MLFLOW_RUN_ID": opened} if opened else {}
    environment = {
        **others,
        **given,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/m.db",
    }
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (130, "interrupted: nothing was registered after this line\n")
