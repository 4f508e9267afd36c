"""What all tests share: a quiet MLflow, and folders with a tracking store of their own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from serving.running import await_port, free_port
from tests import warm

os.environ["OMP_NUM_THREADS"] = "1"  # before scikit-learn is imported, as training does
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight processes that no test asks for
os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

gc.set_threshold(100_000, 20)  # by default a fifth of the collecting of tests goes into looking for garbage
settings.register_profile("slipway", deadline=None)  # a machine that is busy with other tests is no fault
settings.load_profile("slipway")

ROOT = Path(__file__).parent.parent


STARTERS = {
    "subprocess",
    "Workspace",
    "workspace",
    "server",
    "start",
    "postgres_server",
    "environment_of",
    "s3",
}
"""What a test's module imports, or which fixtures it takes, where it starts processes."""


OF_TEXTS = (ROOT / "tests", ROOT / "tests" / "deploy")
"""Where tests read the project's own texts, such as its imports, pages and manifests."""


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark what starts processes or asks nothing of a Python, which `make unit` leaves out; long files begin first.

    One that began last would keep one of two workers waiting for minutes.
    """
    longest: dict[Path, float] = {}
    for item in items:
        if STARTERS & {*vars(item.module), *item.fixturenames}:
            item.add_marker("starts")
        if item.path.parent in OF_TEXTS:
            item.add_marker("once")
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), limit.args[0] if limit else 0.0)
    items.sort(key=lambda item: -longest[item.path])


def pytest_collection_finish() -> None:
    """Never look again for garbage in what the imports and the collecting of tests left."""
    gc.freeze()


def pytest_unconfigure() -> None:
    """End what was begun for all tests of this process."""
    warm.end()


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables made: three seconds that only the first test pays."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("store")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder / "mlruns"))._dispose_engine()
    return folder / "mlflow.db"


@dataclass
class Workspace:
    """A folder with its own tracking store, and commands run in it."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The tracking store's address."""
        return f"sqlite:///{self.folder}/mlflow.db"

    def run(self, *words: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command here and return what came of it."""
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def train(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m training train`; two settings are tried, unless the words say otherwise."""
        return self.command("train", "--trials", "2", *words, **environment)

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of the commands of `python -m training` without the seconds of its imports."""
        return self.run(warm.python(), "-m", "training", *words, **environment)


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """Give each test the environment that the one before was given: MLflow's set_experiment, for one, writes there."""
    before = dict(os.environ)
    yield
    os.environ.update(before)
    for name in os.environ.keys() - before.keys():
        del os.environ[name]


@pytest.fixture
def make_workspace(empty_store: Path, tmp_path: Path) -> Callable[[str], Workspace]:
    """Make folders with a tracking store each."""
    from tests.registered import copied

    def make(name: str) -> Workspace:
        folder = tmp_path / name
        copied(empty_store.parent, folder)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        }
        return Workspace(folder, environment)

    return make


@pytest.fixture
def workspace(make_workspace: Callable[[str], Workspace]) -> Workspace:
    """One folder with a tracking store."""
    return make_workspace("work")


@pytest.fixture
def tracking(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """The same for code that runs in this process."""
    import mlflow

    monkeypatch.chdir(workspace.folder)
    mlflow.set_tracking_uri(None)  # takes the variable away, if a test before set the address by a call
    mlflow.set_registry_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.uri)
    yield workspace
    while mlflow.active_run():
        mlflow.end_run()


@pytest.fixture(scope="session")
def line_registry(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry of two versions of a line, the first promoted; tests get copies."""
    from tests.registered import build, copied

    folder = tmp_path_factory.mktemp("line_registry")
    copied(empty_store.parent, folder)
    with at_work_in(folder):
        build(folder)
    return folder


@contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Let this process use a folder and its store, before any test's."""
    import mlflow

    before, here = os.environ.get("MLFLOW_TRACKING_URI"), Path.cwd()
    mlflow.set_tracking_uri(None)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow itself may have taken it away
        os.environ |= {"MLFLOW_TRACKING_URI": before} if before else {}


@pytest.fixture
def store(line_registry: Path, tracking: Workspace) -> Any:
    """A copy of that registry, for this process and for commands."""
    from mlflow.tracking._tracking_service import utils

    from tests.registered import Store, copied

    copied(line_registry, tracking.folder)
    utils._artifact_repos_cache.clear()  # by run: the same runs were in another test's folder
    return Store(tracking)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL server of our own on a free loopback port."""
    found = (
        sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if Path("/usr/lib/postgresql").is_dir()
        else []
    )
    if not found:
        missing_part("PostgreSQL's server (apt-get install postgresql)")
    folder = tmp_path_factory.mktemp("postgres")
    binaries, port = found[-1].parent, free_port()
    as_postgres: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        for parent in [folder, *folder.parents][: len(folder.parents) - 1]:
            parent.chmod(parent.stat().st_mode | 0o011)
        as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    data = folder / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth", "trust", "--no-sync"]
    subprocess.run([*as_postgres, *initdb], check=True, capture_output=True, cwd="/")
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    server = subprocess.Popen(
        [*as_postgres, str(binaries / "postgres"), "-D", str(data), *options, "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
    await_port(port)  # it listens before it takes anybody
    for _ in range(100):
        if subprocess.run(ready, capture_output=True, check=False).returncode == 0:
            break
        time.sleep(0.2)
    yield f"postgresql+psycopg://postgres@127.0.0.1:{port}"
    server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: SIGTERM waits for open connections
    server.wait(timeout=20)


@pytest.fixture(scope="session")
def postgres(postgres_server: str) -> Callable[[str], str]:
    """Make databases on the server; each call returns a URL."""

    def make(name: str) -> str:
        import sqlalchemy

        engine = sqlalchemy.create_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return f"{postgres_server}/{name}"

    return make


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An S3 server of our own, a `tests.seaweed.Seaweed`."""
    from tests.seaweed import seaweed

    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


@pytest.fixture
def s3(seaweed_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty `tests.seaweed.Bucket` of it, with the environment in which clients find it."""
    from tests.seaweed import Bucket

    for name, value in seaweed_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket(f"bucket-{time.time_ns()}", seaweed_server)
    seaweed_server.files.create_dir(bucket.name)
    return bucket


def missing_part(what: str) -> None:
    """Skip on a user's machine, fail in CI: there, each real part has to be present."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def environment_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make environments for packages or a Python that are not ours; each call returns the folder of its commands."""

    def make(*requirements: str, python: str = sys.executable) -> Path:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        made = folder / "bin" / "python"
        for words in (
            ["venv", "--python", python, folder],
            ["pip", "install", "--python", made, *requirements],
        ):
            done = subprocess.run(["uv", *words], capture_output=True, text=True, timeout=240, check=False)
            if done.returncode:
                missing_part(f"an environment with {', '.join(requirements)} ({done.stderr.strip()[-300:]})")
        return made.parent

    return make
