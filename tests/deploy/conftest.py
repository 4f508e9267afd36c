"""Images, each built once for all tests, and a registry that a container can reach."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from serving.running import await_answer, free_port, started
from tests.conftest import Workspace
from tests.deploy.containers import Builder, Image, check_tools
from tests.registered import PLACES, copied
from tests.serving.conftest import flights, serve  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """A store of images with a base in it."""
    check_tools()
    made = Builder(tmp_path_factory.mktemp("builder"))
    try:
        made.make_base()
        yield made
    finally:
        made.clear()


@pytest.fixture(scope="session")
def wheels(builder: Builder) -> Path:
    """The packages of the server's image."""
    return builder.wheels("serve", Path(sys.executable))


@pytest.fixture(scope="session")
def image(builder: Builder, wheels: Path) -> Image:
    """The server's image."""
    return builder.build("serve", "localhost/slipway-serve", wheels)


@pytest.fixture(scope="session")
def train_image(builder: Builder) -> Image:
    """The jobs' image, from the same base."""
    wheels = builder.wheels("train", Path(sys.executable))
    return builder.build("train", "localhost/slipway-train", wheels)


@pytest.fixture
def tracking_server(line_registry: Path, workspace: Workspace) -> Iterator[str]:
    """MLflow's server with two versions of a line, the first promoted, whose files come through it alone."""
    copied(line_registry, workspace.folder)
    artifacts = workspace.folder / "mlruns"
    with closing(sqlite3.connect(workspace.folder / "mlflow.db")) as database, database:
        for table, columns in PLACES.items():
            for column in columns:
                words = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                database.execute(words, (str(artifacts), "mlflow-artifacts:"))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    words += [
        "--backend-store-uri",
        workspace.uri,
        "--serve-artifacts",
        "--artifacts-destination",
        str(artifacts),
    ]
    opened: dict[str, Any] = {"cwd": workspace.folder, "start_new_session": True}
    with (
        (workspace.folder / "server.log").open("w") as log,
        started([sys.executable, *words], stdout=log, stderr=log, **opened) as process,
    ):
        await_answer(f"{address}/health", process)
        yield address
