"""The `python` of the tests that is quick to start commands starts the same commands."""

from __future__ import annotations

import sys

import pytest

from tests import warm
from tests.conftest import Workspace


@pytest.mark.soak
@pytest.mark.parametrize(
    "words", [("history", "--name", "nosuch"), ("rollback", "--name", "nosuch"), ("no", "job")]
)
def test_a_command_ends_as_that_of_the_real_python(words: tuple[str, ...], workspace: Workspace) -> None:
    """In its folder, with its store and streams: what it says and logs, and its code."""
    log = workspace.folder / "slipway.log"
    ends = []
    for python in (sys.executable, warm.python()):
        done = workspace.run(python, "-m", "training", *words)
        ends.append((done.returncode, done.stdout, done.stderr, log.exists()))
        log.unlink(missing_ok=True)
    assert ends[0] == ends[1]
    assert ends[0][0] != 0
