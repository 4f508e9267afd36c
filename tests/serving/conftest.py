"""A real version and a real server, made once for all tests of the server."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from serving import running
from serving.rows import coercion
from tests.serving.fleet.followed import Registry
from tests.serving.fleet.paced_load import STEP

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def _texts_are_not_kept_elsewhere(monkeypatch):
    """Whether texts of unseen categories are kept is told to a whole process: no test leaves it to the next."""
    monkeypatch.setattr(coercion, "_most_texts", 0)


@dataclass
class Served:
    """A running server."""

    url: str
    process: subprocess.Popen[str]

    def call(
        self, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, Any]:
        """Send bytes, or anything else as JSON; return status, parsed body and headers."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, content, headers or {})
        if not request.has_header("Content-type") and content is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, _parsed(answer.read()), answer.headers
        except HTTPError as error:
            with error:
                return error.code, _parsed(error.read()), error.headers


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode()


@contextmanager
def serve(*options: str, **opened: Any) -> Iterator[Served]:
    """Start a server on a free port, wait until it is ready, and stop it."""
    with running.served(*options, **({"cwd": ROOT} | opened)) as started:
        yield Served(started.address, started.process)


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    """The function that starts a server."""
    return serve


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ridge on the flights sample: the version's folder."""
    from benchmarks.models import build

    return build(tmp_path_factory.mktemp("flights"), sample="flights", target="arr_delay", family="ridge")


@pytest.fixture(scope="session")
def with_intervals(flights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a table of intervals, one width for all rows."""
    from serving.scorer.document import DOCUMENT_FILE
    from serving.scorer.intervals import Intervals
    from serving.scorer.scorer_files import read

    folder = tmp_path_factory.mktemp("intervals") / "flights"
    shutil.copytree(flights, folder)
    path = folder / "scorer" / DOCUMENT_FILE
    document = json.loads(path.read_bytes())
    document["intervals"] = Intervals("calibration", 100, False, (0.5, 0.9), (10.0, 30.0)).as_dict()
    path.write_text(json.dumps(document))
    read(folder / "scorer")
    return folder


@pytest.fixture(scope="session")
def line(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Y = wx + b: the version's folder."""
    from benchmarks.models import build

    return build(tmp_path_factory.mktemp("line"), sample="line", target="y", family="ridge")


@pytest.fixture(scope="session")
def server(flights: Path) -> Iterator[Served]:
    """The flights model, served."""
    with serve("--model", str(flights)) as served:
        yield served


@pytest.fixture(scope="session")
def golden(flights: Path) -> list[dict[str, Any]]:
    """The model's golden rows with their predictions."""
    return json.loads((flights / "scorer" / "scorer.json").read_text())["golden"]


@pytest.fixture(scope="session")
def tools(environment_of: Callable[..., Path]) -> Path:
    """A generator of clients and a validator of OpenAPI: the folder of their commands.

    The generator's 0.28 and 0.29 write code with an unknown name where a call takes several kinds of
    body (its issue 1451).
    """
    return environment_of("openapi-python-client==0.27.1", "openapi-spec-validator==0.9.0")


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Folders of versions 1 and 2 (and 3, which is 1 again in other words): y is STEP apart."""
    import pandas as pd

    from benchmarks.models import build_table

    frame = pd.read_csv(ROOT / "data" / "samples" / "line.csv")
    folders = []
    for number in (1, 2):
        folder = tmp_path_factory.mktemp(f"version{number}")
        frame.assign(y=frame["y"] + number * STEP).to_csv(folder / "line.csv", index=False)
        folders.append(build_table(folder, path=folder / "line.csv", target="y", family="ridge"))
    return folders


@pytest.fixture
def registry(workspace, sources, monkeypatch):
    """Versions 1 and 2, promoted; the alias is at 1."""
    return Registry(workspace, sources, monkeypatch)
