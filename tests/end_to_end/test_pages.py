"""Every command of every page runs as it is printed; folders, ports, the host's name and budgets alone are others."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import textwrap
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joserfc.jwk import RSAKey
from mlflow.projects._project_spec import load_project

from serving.running import await_port, free_port, started
from tests import warm
from tests.conftest import ROOT
from tests.registered import copied

FLIGHTS = ROOT / "data" / "samples" / "flights.csv"
COMMAND = re.compile(
    r"(mlflow|slipway|python|curl|make|pip|source|echo|uvx|openssl|pg_dump|pg_restore) |(KEY|ID)="
    r"|SLIPWAY_SIGNING_KEY="
)
TRAINS, SHORT = re.compile(r"^mlflow run \S+ --env-manager local(?= -P)"), "-P time_budget=5"
"""How a training begins that says no budget, and the one that it gets."""

SERVER = re.compile(r"(python -m serving |mlflow models serve )")
ELSEWHERE = {
    "docs/from-flask.md": "tests/end_to_end/test_from_flask.py",
    "docs/examples/clusters.md": "tests/end_to_end/test_examples.py",
    "docs/examples/digits.md": "tests/end_to_end/test_examples.py",
    "docs/examples/keras.md": "tests/end_to_end/test_examples.py",
    "docs/examples/recommender.md": "tests/end_to_end/test_examples.py",
}
"""Pages that a test of their own runs."""

PROJECT = "mlflow run . --env-manager local "
MONITOR = (
    "mlflow run . --env-manager local -e monitor -P name=flights -P captures=DIR -P exclude=month,weekday"
)
SCORE = "mlflow run . --env-manager local -e score -P name=flights -P input=/data/rows.csv"
FEEDBACK = "mlflow run . --env-manager local -e feedback -P name=flights -P captures=DIR"

NOT_HERE = {
    "mlflow run . --env-manager local -P data=/path/to/trips.parquet": "tests/training/rows/test_streamed.py",
    "mlflow run . --env-manager local -P data=s3://bucket/flights.parquet": "tests/data/sources/test_stored_files.py",
    "mlflow run . --env-manager local -P data=/path/to/flights_table": "tests/training/jobs/test_reproduction.py",
    "mlflow run . --env-manager local -P data=/data/trips/": "tests/training/rows/test_summing_workers.py",
    f"{SCORE} -P output=/data/scored/ -P engine=tls://": "tests/serving/batch/test_scoring_workers.py has workers",
    f"{PROJECT}-e score -P name=flights -P input=s3://": "tests/serving/batch/outputs/test_bucket_folder.py",
    f"{PROJECT}-e score -P name=flights -P input=/path/to/rows.csv -P output=/path/to/scored/ -P delta=true": (
        "tests/serving/batch/outputs/test_delta_table.py"
    ),
    "make run": "CI calls it",
    "make test": "CI calls it",
    "make install": "CI calls it",
    "make unit": "CI calls it",
    "make check": "CI calls it",
    "make format": "it would change the checkout",
    "make recorded": "it would change the checkout: the tests that it calls run in make soak",
    "make bench": "it takes half an hour: tests/test_benchmarks.py keeps each part running",
    "make ui": "tests/end_to_end/test_mlflow_ui.py starts the same",
    "make team": "it takes containers: tests/team.py starts the same server without",
    "make image": "tests/deploy/test_images.py calls the same script",
    "buildah bud": "tests/deploy/test_images.py builds it",
    f"{MONITOR} -P follow=true": "it stays: tests/training/arrivals/test_store_down.py",
    f"{FEEDBACK} -P data=outcomes.csv": "the model of the tests has no such key: tests/training/captures/test_keyed.py",
    "curl -o jwks.json": "there is no such provider here: tests/serving/access/test_token_server.py asks a real one",
    "pg_dump": "tests/end_to_end/test_team.py has a PostgreSQL to save, and an empty one",
    'python -c "from pyarrow.fs import copy_files;': "the same test has buckets",
    "pg_restore": "the same test",
    "MLFLOW_TRACKING_URI=http://restored": "the same test",
    "pip install": "the environment of the tests has all extras",
    "uvx openapi-python-client": "tests/serving/front/test_clients.py generates that client",
    'echo \'{"content_type_overrides"': "its settings, in the same test",
    "python -m serving --model models:/clusters@champion": "tests/end_to_end/test_examples.py",
    "mlflow run . --env-manager local -e adopt -P model=/path/to/houses.keras": "needs TensorFlow: test_networks.py",
}
"""Commands by their beginning, and why they are not run here."""


def blocks_of(page: Path) -> list[list[str]]:
    """Return a page's blocks of commands, fenced or indented, each as lines that a shell reads whole."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(?:bash|sh)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"(?:^    .*\n?)+", rest, flags=re.MULTILINE)
    blocks = [block for block in (*fenced, *map(textwrap.dedent, indented)) if COMMAND.match(block)]
    return [whole_lines(block) for block in blocks]


def whole_lines(block: str) -> list[str]:
    """Join the lines of a command that goes on in an open quote or behind a backslash."""
    lines: list[str] = []
    held = ""
    for line in block.strip().splitlines():
        held = f"{held}\n{line}" if held else line
        if is_whole(held):
            lines, held = [*lines, held], ""
    assert not held, f"a quote stays open: {held}"
    return lines


def is_whole(command: str) -> bool:
    """Whether a shell would not wait for more."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")


PAGES = {
    str(page.relative_to(ROOT)): blocks
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if (blocks := blocks_of(page))
}


def without_mlflows_start(command: str) -> str:
    """Return what `mlflow run` would start, as it reads MLproject: its own start takes longer than most commands."""
    given = argparse.ArgumentParser()
    given.add_argument("-e", default="main")
    given.add_argument("-P", action="append", default=[])
    asked = given.parse_args(
        shlex.split(command.removeprefix(f"mlflow run {ROOT} --env-manager local"), comments=True)
    )
    entry = load_project(str(ROOT)).get_entry_point(asked.e)
    return entry.compute_command(dict(word.split("=", 1) for word in asked.P), None)


@dataclass
class Desk:
    """A folder with the files that the pages name, a registry of flights, and one server at a time."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    server: ExitStack = field(default_factory=ExitStack)
    begun: set[str] = field(default_factory=set)
    """Which of our commands were started with their own imports; again, they begin with those done."""

    def run(self, command: str, *, whole: bool = False) -> None:
        """Run one command, a server until the next one comes; `whole` is with MLflow's own start."""
        if SERVER.match(command):
            return self.serve(command)
        ours, place = self.here(command), self.folder
        if command.startswith(PROJECT) and not whole:
            ours, place = without_mlflows_start(ours), ROOT
        done = subprocess.run(
            ["bash", "-e", "-c", ours],
            cwd=place,
            env=self.environment_for(ours),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert '"error' not in done.stdout, f"{command}\n{done.stdout[-2000:]}"
        return None

    def environment_for(self, command: str) -> dict[str, str]:
        """Return the environment of a command: with a `python` that is quick to start for what was started before."""
        jobs = set(re.findall(r"python -m training (\w+)", command))
        are_known = bool(jobs) and jobs <= self.begun
        self.begun |= jobs
        path = os.pathsep.join([*([str(warm.commands())] if are_known else []), self.environment["PATH"]])
        return self.environment | {"PATH": path}

    def here(self, command: str) -> str:
        """Return the command with folders, ports and hosts of this test."""
        for printed, ours in (
            ("mlflow run .", f"mlflow run {ROOT}"),
            ("/path/to/", f"{self.folder}/"),
            ("captures=DIR", f"captures={self.folder}/captures"),
            ("--captures DIR", f"--captures {self.folder}/captures"),
            ("data=labels.parquet", f"data={self.folder}/labels.parquet"),
            ("source .venv/bin/activate", "true"),
            ("http://models.example.com:8080", f"http://127.0.0.1:{self.port}"),
            ("0.0.0.0", "127.0.0.1"),
            ("5002", str(self.port)),
            ("--time_budget 20", "--time_budget 5"),
            ("-P time_budget=20", "-P time_budget=5"),
        ):
            command = command.replace(printed, ours)
        return command if "time_budget" in command else TRAINS.sub(rf"\g<0> {SHORT}", command)

    def serve(self, command: str) -> None:
        """Start a server in place of the one before, and wait until it is ready.

        On a port of its own: the uvicorn below `mlflow models serve` answers a moment longer than its parent lives.
        """
        self.stop()
        self.port = free_port()
        words = shlex.split(self.here(command).replace("\\\n", " "), comments=True)
        if "--port" not in words:
            words += ["--port", str(self.port)]
        process = self.server.enter_context(started(words, cwd=self.folder, env=self.environment))
        await_port(self.port)
        assert process.poll() is None, command
        if "--tls-cert" not in words:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=20) as answer:
                assert answer.status == 200

    def stop(self) -> None:
        """End the server that runs."""
        self.server.close()


@pytest.fixture(scope="module")
def registry(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Four versions of flights, three of which were champion, and the files that the pages name."""
    folder = tmp_path_factory.mktemp("pages")
    copied(empty_store.parent, folder)
    desk = Desk(
        folder,
        {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "CURL_HOME": str(folder),
            "DATABASE": f"sqlite:///{folder}/mlflow.db",
        },
    )
    (folder / ".curlrc").write_text("fail-with-body\n")
    write_files(folder)
    words = f"--data {FLIGHTS} --target arr_delay --exclude date --trials 1 --time_budget 5"
    train = f"python -m training train {words}"
    fresh = f"python -m training recalibrate --name flights --data {folder}/fresh.csv"
    force = "python -m training promote --name flights --force true --reason page --version"
    for command in (train, fresh, f"{train} --seed 1", fresh, f"{force} 2", f"{force} 4"):
        desk.run(command)
    predict_what_is_captured(desk)
    return desk


def predict_what_is_captured(desk: Desk) -> None:
    """Have the rows predicted, as of the day before yesterday, and write down what came of the first."""
    desk.serve("python -m serving --model models:/flights@champion --capture captures")
    then = (datetime.now(tz=UTC) - timedelta(days=2)).isoformat(timespec="seconds")
    asked = urllib.request.Request(
        f"http://127.0.0.1:{desk.port}/invocations",
        (desk.folder / "rows.csv").read_bytes(),
        {"Content-Type": "text/csv", "Ce-Time": then},
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        first = answer.headers["X-Prediction-Id"]
    desk.stop()
    pd.DataFrame({"id": [first], "actual": [12.5]}).to_parquet(desk.folder / "labels.parquet")


def write_files(folder: Path) -> None:
    """Write what the pages call houses.csv, new.csv, fresh.csv, rows.csv, cert.pem and so on."""
    random = np.random.default_rng(1)
    area, rooms = random.uniform(30, 200, 300).round(1), random.integers(1, 7, 300)
    houses = pd.DataFrame({"area": area, "rooms": rooms, "price": 2_000 * area + 9_000 * rooms})
    houses["price"] += random.normal(0, 9_000, 300).round()
    houses.to_csv(folder / "houses.csv", index=False)
    (folder / "data").mkdir()
    (folder / "data" / "samples").symlink_to(FLIGHTS.parent)
    houses.drop(columns="price").head(20).to_csv(folder / "new.csv", index=False)
    flights = pd.read_csv(FLIGHTS)
    flights.to_csv(folder / "flights.csv", index=False)
    flights.tail(3_000).to_csv(folder / "fresh.csv", index=False)
    flights.drop(columns=["date", "arr_delay"]).head(20).to_csv(folder / "rows.csv", index=False)
    for keys in ("keys", "feedback-keys"):
        (folder / keys).write_text(sha256(keys.encode()).hexdigest() + "\n")
    subject = ["-subj", "/CN=localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run(made, check=True, capture_output=True)
    shutil.copy(folder / "cert.pem", folder / "clients.pem")
    public = RSAKey.generate_key(2048, {"alg": "RS256", "use": "sig"}, auto_kid=True).as_dict(private=False)
    (folder / "jwks.json").write_text(json.dumps({"keys": [public]}))


@pytest.fixture
def desk(registry: Desk) -> Iterator[Desk]:
    """The same with the champion served, as `make serve` does."""
    registry.serve("python -m serving --model models:/flights@champion")
    yield registry
    registry.stop()


def why_not_here(command: str) -> str:
    """Return why a command is not run here, or nothing."""
    return next((reason for start, reason in NOT_HERE.items() if command.startswith(start)), "")


def test_each_command_of_the_pages_is_found() -> None:
    """Else the test below would run nothing: the pages that have commands, and how each begins, are known."""
    assert {"README.md", "docs/serving.md", "docs/gate.md", "docs/intervals.md", *ELSEWHERE} <= set(PAGES)
    commands = [command for blocks in PAGES.values() for block in blocks for command in block]
    assert all(any(command.startswith(start) for command in commands) for start in NOT_HERE)
    assert all((ROOT / test).is_file() for test in ELSEWHERE.values())


@pytest.mark.soak
@pytest.mark.parametrize("page", [page for page in PAGES if page not in ELSEWHERE])
def test_the_commands_of_a_page_run_as_they_are_printed(page: str, desk: Desk) -> None:
    """One after the other, in one folder, as a reader would: each ends well, each answer is no error."""
    for block in PAGES[page]:
        commands = [command for command in block if not why_not_here(command)]
        together = [command for command in commands if not SERVER.match(command)]
        if any(
            command.startswith(("KEY=", "ID=")) for command in together
        ):  # what it sets is for the next lines
            desk.run("\n".join(together))
            commands = [command for command in commands if SERVER.match(command)]
        for command in commands:
            desk.run(command, whole=page == "README.md")
