"""The move from Flask and joblib works as its page says, and the old clients notice nothing."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from serving.running import await_port, free_port, started
from tests.conftest import ROOT, Workspace

PAGE = (ROOT / "docs" / "from-flask.md").read_text()
FIT, APP = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MOVE, CURL = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)


def answer(port: int, x: Any) -> Any:
    """Ask as the old clients do."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        json.dumps({"x": x}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


@pytest.fixture
def start(workspace: Workspace):
    """Start a server by its words in the workspace, and stop it by its pid."""
    with ExitStack() as running:

        def begin(*words: str, port: int) -> int:
            running.enter_context(started(words, cwd=workspace.folder, env=workspace.environment))
            await_port(port)
            return port

        yield begin


@pytest.mark.soak
def test_the_two_commands_answer_the_old_clients(workspace: Workspace, start) -> None:
    """The page's own scripts and commands; only ports and paths are others."""
    folder = workspace.folder
    shutil.copy(ROOT / "data" / "samples" / "line.csv", folder / "sample.csv")
    (folder / "fit.py").write_text(FIT)
    assert workspace.run(sys.executable, "fit.py").returncode == 0
    ports = [free_port(), free_port()]
    (folder / "app.py").write_text(APP.replace("port=5000", f"port={ports[0]}"))
    old = start(sys.executable, "app.py", port=ports[0])

    adopt, serve = MOVE.replace("/path/to/", f"{folder}/").strip().splitlines()
    done = subprocess.run(
        shlex.split(adopt), cwd=ROOT, env=workspace.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "promoted: line had no champion" in done.stdout + done.stderr
    new = start(*shlex.split(serve.replace("5000", str(ports[1]))), port=ports[1])
    for x in (3, -1.5, 0.0, 1e9, 0.1):
        assert answer(new, x) == answer(old, x)
    curl = shlex.split(CURL.replace("5000", str(new)))
    said = subprocess.run(curl, capture_output=True, text=True, check=True).stdout
    assert f"    {said.strip()}\n" in PAGE


def test_the_page_is_in_the_readme() -> None:
    """Who has the two scripts must find it."""
    assert "docs/from-flask.md" in Path(ROOT, "README.md").read_text()
