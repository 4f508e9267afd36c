"""Stock MLflow answers for what `main` registered, and the README's words work as they stand."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from serving.batch.__main__ import main as score
from serving.running import await_port, free_port, started
from serving.tryout import stock_server
from tests.conftest import ROOT, Workspace, at_work_in
from tests.registered import copied
from training.__main__ import main

FLIGHTS = ROOT / "data" / "samples" / "flights.csv"
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def champion(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The flights champion, trained as `make run` trains it."""
    folder = tmp_path_factory.mktemp("served")
    copied(empty_store.parent, folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    workspace = Workspace(folder, {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri})
    words = ["--data", str(FLIGHTS), "--target", "arr_delay", "--exclude", "date", "--trials", "2"]
    with at_work_in(folder):
        assert main(["train", *words]) == 0
    return workspace


@pytest.fixture(scope="module")
def address(champion: Workspace) -> Iterator[str]:
    """A real `mlflow models serve`, started in a folder without Slipway."""
    before = Path.cwd()
    os.environ["MLFLOW_TRACKING_URI"] = champion.uri
    os.chdir(champion.folder)
    try:
        with stock_server("models:/flights@champion") as served:
            yield served
    finally:
        os.chdir(before)
        del os.environ["MLFLOW_TRACKING_URI"]


def rows(count: int) -> pd.DataFrame:
    """The first flights, numbers as doubles."""
    frame = pd.read_csv(FLIGHTS).drop(columns=["date", "arr_delay"]).head(count)
    numbers = frame.select_dtypes("number").columns
    return frame.astype(dict.fromkeys(numbers, float))


def with_gaps() -> pd.DataFrame:
    """Three of them: without a number, without a category, with one that training never saw."""
    frame = rows(3).astype({"carrier": object})
    frame.loc[0, "dep_delay"], frame.loc[1, "carrier"], frame.loc[2, "dest"] = np.nan, None, "XYZ"
    return frame


@pytest.fixture(scope="module")
def scored(champion: Workspace) -> pd.Series:
    """What `mlflow run -e score` predicts for 20 flights and the three with gaps, from one file."""
    pd.concat([rows(20), with_gaps()]).to_csv(champion.folder / "all.csv", index=False)
    files = [f"input={champion.folder / 'all.csv'}", f"output={champion.folder / 'scored.csv'}"]
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "-e", "score", "--env-manager", "local"]
    done = champion.run(*command, *(word for file in files for word in ("-P", file)))
    assert done.returncode == 0, done.stderr
    return pd.read_csv(champion.folder / "scored.csv")["prediction"]


def predictions(address: str, body: bytes, content_type: str = "application/json") -> list[float]:
    """Post a body and return the predictions."""
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)["predictions"]


@pytest.mark.soak
def test_all_json_forms_and_csv_give_the_pipelines_predictions(address: str, scored: pd.Series) -> None:
    """Five ways to say the same rows; the reference is the batch job, which uses the scorer."""
    frame = rows(20)
    split = frame.to_dict(orient="split")
    bodies = {
        "dataframe_split": json.dumps({"dataframe_split": split}),
        "dataframe_records": json.dumps({"dataframe_records": frame.to_dict(orient="records")}),
        "instances": json.dumps({"instances": frame.to_dict(orient="records")}),
        "inputs": json.dumps({"inputs": frame.to_dict(orient="list")}),
    }
    answers = {form: predictions(address, body.encode()) for form, body in bodies.items()}
    answers["csv"] = predictions(address, frame.to_csv(index=False).encode(), "text/csv")
    for form, answer in answers.items():
        np.testing.assert_allclose(answer, scored[:20], rtol=1e-9, err_msg=form)


@pytest.mark.soak
def test_an_environment_of_the_models_own_requirements_is_enough(
    champion: Workspace, scored: pd.Series, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a colleague has who knows the registry and nothing of Slipway."""
    monkeypatch.chdir(champion.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", champion.uri)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    own = f"{sys.base_prefix}/bin"  # uv finds no Python that pyenv installed beside its global one
    monkeypatch.setenv("PATH", os.pathsep.join([own, os.environ["PATH"]]))
    frame = rows(5)
    body = json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
    with stock_server("models:/flights@champion", env_manager="uv") as served:
        answer = predictions(served, body)
    np.testing.assert_allclose(answer, scored[:5], rtol=1e-9)


def test_mlflow_run_serves_the_champion_until_it_is_told_to_stop(
    champion: Workspace, scored: pd.Series
) -> None:
    """Entry point `serve`: our own server, ended by SIGTERM to the project's processes."""
    port = free_port()
    words = ["run", str(ROOT), "-e", "serve", "--env-manager", "local", "-P", f"port={port}"]
    command = [sys.executable, "-m", "mlflow", *words]
    environment = champion.environment | {"XDG_CACHE_HOME": str(champion.folder / "cache")}
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started(command, cwd=champion.folder, env=environment, start_new_session=True, **streams):
        await_port(port)
        frame = rows(5)
        body = json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
        answer = predictions(f"http://127.0.0.1:{port}", body)
    np.testing.assert_allclose(answer, scored[:5], rtol=1e-9)


def test_a_missing_value_and_an_unseen_category_are_scored_by_both(address: str, scored: pd.Series) -> None:
    """A null alone in its column and one among values are the same null."""
    records = json.loads(with_gaps().to_json(orient="records"))
    together = predictions(address, json.dumps({"dataframe_records": records}).encode())
    alone = [predictions(address, json.dumps({"dataframe_records": [row]}).encode())[0] for row in records]
    np.testing.assert_allclose(alone, together, rtol=1e-12)
    np.testing.assert_allclose(scored[20:], together, rtol=1e-9)


def test_the_readmes_curl_gives_the_readmes_answer(address: str) -> None:
    """Who copies the first command must see what the page promises, but for what another choice changes."""
    (block,) = re.findall(r"```bash\n(curl .*?)```", README, flags=re.DOTALL)
    block = block.replace("http://127.0.0.1:5002", address)
    done = subprocess.run(["bash", "-c", block], capture_output=True, text=True, timeout=60, check=True)
    promised = re.search(r'^    \{"predictions": \[([-\d.]+)\]\}', README, flags=re.MULTILINE)
    assert promised is not None
    assert json.loads(done.stdout)["predictions"][0] == pytest.approx(float(promised[1]), rel=0.25)


def test_the_readmes_python_client_works(address: str) -> None:
    """The block as it stands, against another port."""
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    block = block.replace("http://127.0.0.1:5002", address)
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "predictions" in done.stdout


def test_a_faulty_row_stops_the_batch_and_leaves_nothing(champion: Workspace) -> None:
    """Through the real command: exit code, the line, no output, no partial file."""
    with FLIGHTS.open(newline="") as file:
        head = [row for row, _ in zip(csv.reader(file), range(61), strict=False)]
    head[41][head[0].index("dep_delay")] = "late"
    with (champion.folder / "faulty.csv").open("w", newline="") as file:
        csv.writer(file).writerows(head)
    command = [
        sys.executable,
        "-m",
        "serving.batch",
        "--name",
        "flights",
        "--input",
        "faulty.csv",
        "--output",
        "o.csv",
    ]
    done = champion.run(*command)
    assert done.returncode == 2
    assert "row 41, column 'dep_delay': expected a finite number" in done.stderr
    assert not list(champion.folder.glob("*o.csv*"))
    with at_work_in(champion.folder):
        assert score([*command[3:], "--on_fault", "null"]) == 0
    written = pd.read_csv(champion.folder / "o.csv")
    assert len(written) == 60
    assert written["prediction"].isna().tolist() == [row == 40 for row in range(60)]
    assert list(written.columns) == [*head[0], "prediction"]
