"""The pages of docs/examples do what they say: each is run as it stands, and compared with stock MLflow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest

from serving.running import await_answer, free_port, started
from tests.conftest import ROOT, Workspace, missing_part

EXAMPLES = ROOT / "docs" / "examples"
LISTED = set(re.findall(r"\]\((\w+\.md)\)", (EXAMPLES / "README.md").read_text()))
PAGES = sorted(LISTED | {page.name for page in EXAMPLES.glob("*.md")} - {"README.md"})


@dataclass(frozen=True)
class Page:
    """What a page has one do: files to write, a server to start, one request, and the answer it promises."""

    files: dict[str, str]
    serve: str
    ask: str
    answer: Any

    @property
    def model(self) -> str:
        """The model that it serves."""
        return re.search(r"--model (\S+)", self.serve)[1]

    @property
    def request(self) -> str:
        """The request's body."""
        return re.search(r"-d '(.*)'", self.ask, flags=re.DOTALL)[1]


def page_of(name: str) -> Page:
    """Read a page."""
    blocks = re.findall(
        r"^```(\w+)\n(.*?)^```$", (EXAMPLES / name).read_text(), flags=re.DOTALL | re.MULTILINE
    )
    files = {re.match(r"# (\w+\.py)\n", text)[1]: text for kind, text in blocks if kind == "python"}
    serve, ask = (text for kind, text in blocks if kind == "bash")
    (answer,) = (json.loads(text) for kind, text in blocks if kind == "json")
    return Page(files, serve, ask, answer)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_listed_and_has_what_is_run(name) -> None:
    """One that nobody lists is found by nobody; one without blocks would be run as nothing."""
    assert name in LISTED
    page = page_of(name)
    assert page.files
    assert page.model.endswith("@champion")
    assert page.ask.startswith("curl ")
    assert json.loads(page.request)
    assert page.answer["predictions"]


@contextmanager
def served(page: Page, workspace: Workspace) -> Iterator[int]:
    """Run a page's first bash block, which trains and then serves; yield its port, and stop it by its pid."""
    port = free_port()
    words = ["bash", "-ec", page.serve.replace("5002", str(port))]
    environment = workspace.environment | {"XDG_CACHE_HOME": str(workspace.folder / "cache")}
    with started(words, cwd=workspace.folder, env=environment, start_new_session=True) as process:
        await_answer(f"http://127.0.0.1:{port}/readyz", process, 120)
        yield port


def stock(page: Page, workspace: Workspace) -> Any:
    """Return what stock MLflow's `pyfunc.load_model(...).predict` says to the page's request."""
    (workspace.folder / "request.json").write_text(page.request)
    words = ["-m", page.model, "-i", "request.json", "-o", "stock.json", "--env-manager", "local"]
    done = workspace.run(sys.executable, "-m", "mlflow", "models", "predict", *words)
    assert done.returncode == 0, done.stderr
    return json.loads((workspace.folder / "stock.json").read_text())


def same(one: Any, other: Any, *, within: float) -> bool:
    """Return whether two answers say the same, numbers up to a relative difference."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], within=within) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            same(*pair, within=within) for pair in zip(one, other, strict=True)
        )
    return one == (pytest.approx(other, rel=within) if isinstance(other, float) else other)


@pytest.mark.soak
@pytest.mark.parametrize("name", PAGES)
def test_a_page_run_as_it_stands_answers_what_it_says_and_what_stock_mlflow_says(name, workspace) -> None:
    """Training in float32 differs a little between kinds of CPU, so the page's own figure is held to 2 %."""
    page = page_of(name)
    if "keras" in "".join(page.files.values()) and not find_spec("tensorflow"):
        missing_part("TensorFlow (pip install '.[tensorflow]')")
    for file, source in page.files.items():
        (workspace.folder / file).write_text(source)
    with served(page, workspace) as port:
        asked = ["bash", "-c", page.ask.replace("5002", str(port))]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(done.stdout)
    assert same(answer, page.answer, within=0.02), (answer, page.answer)
    assert same(answer, stock(page, workspace), within=1e-6)
