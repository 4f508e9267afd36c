"""What a training says of its search."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT, Workspace
from tests.registered import LINE


@pytest.mark.soak
def test_without_lightgbms_library_a_training_goes_on_and_says_so(workspace: Workspace) -> None:
    """A slim image lacks libgomp, and nobody reads a log file to find out why a family was never tried."""
    (workspace.folder / "lightgbm.py").write_text(
        'raise OSError("libgomp.so.1: cannot open shared object file")'
    )
    done = workspace.train(
        "--data", str(LINE), "--target", "y", "--time_budget", "20", PYTHONPATH=f"{workspace.folder}:{ROOT}"
    )
    assert done.returncode == 0, done.stderr
    assert "its family is not tried: apt-get install libgomp1" in done.stdout
    assert "decide    promoted" in done.stdout
    assert "lightgbm" not in done.stdout
