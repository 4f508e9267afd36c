"""The tutorial as a notebook: each cell runs, in a real kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.running import free_port
from tests.conftest import ROOT, Workspace, missing_part

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
RUN = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=280, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[1])
"""


def test_the_notebook_is_kept_without_what_it_printed() -> None:
    """Outputs of one machine would be in every later change of it."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.soak
def test_each_cell_of_the_notebook_runs_and_shows_what_it_promises(
    workspace: Workspace, tmp_path: Path
) -> None:
    """As a reader runs it in Jupyter; the port and the budget alone are others."""
    kernel = tmp_path / "jupyter"
    words = [
        "uv",
        "pip",
        "install",
        "--python",
        sys.executable,
        "--target",
        kernel,
        "ipykernel>=7,<8",
        "nbclient>=0.11,<0.12",
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode:
        missing_part(f"Jupyter's kernel ({done.stderr.strip()[-300:]})")
    (workspace.folder / "docs").mkdir()
    (workspace.folder / "data").mkdir()
    (workspace.folder / "data" / "samples").symlink_to(ROOT / "data" / "samples")
    notebook = workspace.folder / "docs" / NOTEBOOK.name
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert "time_budget=20" in text
    notebook.write_text(text.replace("time_budget=20", "time_budget=5").replace("5002", str(free_port())))
    own = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(kernel)]), "IPYTHONDIR": str(tmp_path / "ipython")}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, notebook],
        cwd=notebook.parent,
        env=workspace.environment | own,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    outputs = [cell["outputs"] for cell in json.loads(notebook.read_text())["cells"] if cell.get("outputs")]
    shown = json.dumps(outputs)
    for promised in ("promoted", "iframe srcdoc", "lower", "July", "image/png", "{'received': 1}", "watch"):
        assert promised in shown, promised
