"""A password in the address of a database or of the tracking server is in nothing that a run leaves behind."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pandas as pd
import pytest

from serving.running import free_port
from tests.conftest import ROOT, Workspace
from tests.recorded import recorded
from training.records.tracking import Run

SECRET = "hun7er@2/x"
HALVES = ("hun7er", "hun7er%402")


@pytest.fixture
def rows() -> pd.DataFrame:
    """A few rows of a sample."""
    columns = ["arr_delay", "dep_delay", "distance"]
    return pd.read_csv(ROOT / "data" / "samples" / "flights.csv", nrows=400)[columns]


def train(workspace: Workspace, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train with one setting; a busy machine takes minutes for it."""
    words = ("training", "train", "--trials", "1", *words)
    return workspace.run(sys.executable, "-m", *words, timeout=400, **environment)


def left_behind(
    workspace: Workspace, *printed: subprocess.CompletedProcess[str]
) -> Iterator[tuple[str, str]]:
    """Everything that can be read afterwards: files of any kind, and what was printed."""
    for done in printed:
        yield "what was printed", done.stdout + done.stderr
    for path in workspace.folder.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(workspace.folder)), path.read_bytes().decode("latin-1")


def assert_no_secret(workspace: Workspace, *printed: subprocess.CompletedProcess[str]) -> None:
    """Look for both halves of it everywhere."""
    places = [
        place for place, text in left_behind(workspace, *printed) if any(half in text for half in HALVES)
    ]
    assert not places, [done.stderr[-300:] for done in printed]


@pytest.mark.soak
def test_a_password_in_the_tables_address_is_recorded_nowhere(
    workspace: Workspace, rows: pd.DataFrame
) -> None:
    """As a key of the query: in params, tags, card, log and on the terminal of a whole training and a refusal."""
    words = ("--target", "arr_delay", "--name", "houses", "--time_budget", "5")
    with closing(sqlite3.connect(workspace.folder / "rows.db")) as connection:
        rows.to_sql("rows", connection, index=False)
    url = f"sqlite:///{workspace.folder}/rows.db?password={SECRET}"
    done = train(workspace, "--data", url, "--query", "SELECT * FROM rows", *words)
    assert done.returncode == 0, done.stderr
    odbc = f"mssql+pyodbc:///?odbc_connect=DRIVER={{ODBC}};SERVER=h;PWD={SECRET}"
    refused = [
        train(workspace, "--data", other, "--query", "SELECT 1", *words)
        for other in (odbc, f"postgresql+psycopg://bob:{SECRET}@127.0.0.1:1/db?connect_timeout=2")
    ]
    assert [each.returncode for each in refused] == [2, 2]
    with closing(sqlite3.connect(workspace.folder / "mlflow.db")) as connection:
        addresses = connection.execute("SELECT value FROM params WHERE key = 'data'").fetchall()
        reasons = connection.execute("SELECT value FROM tags WHERE key = 'slipway.reason'").fetchall()
    assert (f"sqlite:///{workspace.folder}/rows.db?password=***",) in addresses
    assert len(reasons) == 3
    assert_no_secret(workspace, done, *refused)
    recorded(
        "security",
        "A password as `?password=`, in `odbc_connect`, or with `@` and `/` in it, in the address of a table",
        "Masks every key of an address but a harmless few, and what a driver says of the rest",
        "It is in no file under mlruns, not in mlflow.db, the card, slipway.log or what is printed",
    )


@pytest.mark.soak
def test_a_password_in_the_tracking_address_is_printed_nowhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its server is gone, by training, the batch job and the server; and in the address of a run's page."""
    (workspace.folder / "rows.csv").write_text("x,y\n1,2\n")
    closed = f"http://bob:{HALVES[1]}@127.0.0.1:{free_port()}/?token={SECRET}"
    gone = [
        workspace.run(sys.executable, "-m", *words, timeout=250, MLFLOW_TRACKING_URI=closed)
        for words in (
            ("training", "train", "--data", "rows.csv", "--target", "y", "--name", "houses"),
            ("serving.batch", "--name", "houses", "--input", "rows.csv", "--output", "out.csv"),
            ("serving", "--model", "models:/houses@champion", "--cache", "cache", "--port", "0"),
        )
    ]
    assert [each.returncode for each in gone] == [2, 2, 2], [each.stderr for each in gone]
    assert_no_secret(workspace, *gone)
    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: f"http://bob:{SECRET}@tracking:5000")
    page = Run("r", "7").page
    assert (
        page
        == "http://tracking:5000/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=slipway"
    )
    recorded(
        "security",
        "A password in MLFLOW_TRACKING_URI, before the host or as `?token=`, and the tracking server is gone",
        "Prints the address of a run's page without it, and masks it in every reason, log and tag",
        "It is in no file, and not in what training, `score` and the server print",
    )
