"""Temporary files go with the process that made them, or with the next one of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPT = """
import os, signal, sys, tempfile
from data.own_files.temporary import own_folder
with tempfile.TemporaryDirectory(dir=own_folder()):
    with tempfile.TemporaryDirectory(dir=own_folder()):
        if "killed" in sys.argv:
            os.kill(os.getpid(), signal.SIGKILL)
tempfile.mkdtemp(dir=own_folder())
assert tempfile.gettempdir() == os.environ["TMPDIR"]  # where MLflow's processes find each other's locks
sys.exit(3)
"""


def run(place: Path, *words: str) -> int:
    """Make temporary files below a folder and end; return the exit code."""
    environment = {"TMPDIR": str(place), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", SCRIPT, *words], env=environment, check=False).returncode


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Nor what was forgotten."""
    assert run(tmp_path) == 3
    assert not list(tmp_path.iterdir())


def test_what_a_killed_process_left_behind_is_thrown_away(tmp_path: Path) -> None:
    """By the next one; a folder of that name that is none of ours stays."""
    (tmp_path / "slipway-other").mkdir()
    assert run(tmp_path, "killed") == -9
    (left,) = set(tmp_path.iterdir()) - {tmp_path / "slipway-other"}
    assert len(list(left.glob("tmp*"))) == 2
    assert run(tmp_path) == 3
    assert list(tmp_path.iterdir()) == [tmp_path / "slipway-other"]


def test_without_a_temporary_folder_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only container: a server goes on without, a command says so."""
    from data.own_files import temporary

    def none(**_: object) -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr("tempfile.mkdtemp", none)
    with temporary.scratch() as folder:
        assert folder is None
    temporary.own_folder.cache_clear()
    with pytest.raises(OSError, match="no usable"):
        temporary.own_folder()
