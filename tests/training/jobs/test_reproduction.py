"""A version is made again from what its run recorded, or what stands in the way is said."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.conftest import ROOT, Workspace
from training.__main__ import main
from training.commands.parser import parse
from training.commands.trainings import TrainConfig
from training.jobs.reproduce import packages_in_words

FLIGHTS = ["--data", str(ROOT / "data" / "samples" / "flights.csv"), "--target", "arr_delay"]


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """A small table with text, gaps and a comma in a column's name."""
    random = np.random.default_rng(3)
    area = random.uniform(30, 200, 300).round(1)
    city = random.choice(["Ulm", "Bonn", None], 300)
    price = (area * 30 + (city == "Ulm") * 900 + random.normal(0, 50, 300)).round(2)
    frame = pd.DataFrame({"city": city, "area, net": area, "seen": random.normal(size=300), "price": price})
    frame.to_csv(tmp_path / "houses.csv", index=False)
    return tmp_path / "houses.csv"


def reproduce(workspace: Workspace, name: str, *words: str):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "training", "reproduce", "--name", name, "--version", "1", *words]
    return workspace.run(*command)


def reproduced(workspace: Workspace, name: str) -> str | None:
    """What the version's tag says."""
    return MlflowClient(workspace.uri).get_model_version(name, "1").tags.get("slipway.reproduced")


@pytest.mark.soak
def test_flights_are_rebuilt_to_the_same_digest_in_another_process(workspace: Workspace) -> None:
    """Categories, dates and units: graph, golden rows, parity and schema, byte for byte; the card has its slices."""
    words = [*FLIGHTS, "--promote", "never", "--units", "arr_delay=min,distance=mi", "--time_budget", "10"]
    trained = workspace.train(*words)
    assert trained.returncode == 0, trained.stderr
    done = reproduce(workspace, "flights")
    assert (done.returncode, reproduced(workspace, "flights")) == (0, "yes"), done.stdout + done.stderr
    assert "try" not in done.stdout.split(), "a search was run"
    client = MlflowClient(workspace.uri)
    version = client.get_model_version("flights", "1")
    assert "surest weak slice of 66: `" in version.description
    paths = {file.path for file in client.list_artifacts(version.run_id, "tables")}
    assert "tables/slices.csv" in paths


@pytest.mark.soak
def test_a_small_table_is_rebuilt_and_refused_once_a_row_changed(workspace: Workspace, houses: Path) -> None:
    """With a seed, a column left out, and a table that has moved; the refusal leaves the tag as it was.

    Rows in another order have the same fingerprint, but not the same golden rows: a digest must not say yes.
    """
    words = ["--exclude", "seen", "--seed", "7", "--units", '"area, net=m²"', "--promote", "never"]
    assert workspace.train("--data", str(houses), "--target", "price", *words).returncode == 0
    moved = houses.rename(houses.with_name("moved.csv"))
    done = reproduce(workspace, "houses", "--data", str(moved))
    assert (done.returncode, reproduced(workspace, "houses")) == (0, "yes"), done.stdout + done.stderr
    pd.read_csv(moved)[::-1].to_csv(moved, index=False)
    assert reproduce(workspace, "houses", "--data", str(moved)).returncode == 1
    told = reproduced(workspace, "houses") or ""
    assert told.startswith("no: ")
    assert "golden" in told
    moved.write_text(moved.read_text().replace("Ulm", "Bonn", 1))
    refused = reproduce(workspace, "houses", "--data", str(moved))
    assert refused.returncode == 2
    assert "moved.csv has fingerprint" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert reproduced(workspace, "houses") == told


@pytest.mark.soak
def test_the_rows_whose_residuals_the_search_had_are_found_again(
    tracking: Workspace, houses: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intervals come from them, and a rebuilding without a search would take others, or fewer."""
    monkeypatch.setattr("training.measuring.intervals.conformal.MOST_ROWS", 100)
    words = ["--data", str(houses), "--target", "price", "--trials", "1", "--promote", "never"]
    assert main(["train", *words]) == 0
    assert main(["reproduce", "--name", "houses", "--version", "1"]) == 0
    assert reproduced(tracking, "houses") == "yes"


@pytest.mark.soak
def test_a_table_with_versions_is_rebuilt_from_the_one_that_was_read(
    workspace: Workspace, houses: Path
) -> None:
    """Its rows have changed since, and the version's own are still there."""
    import deltalake

    lake, frame = houses.with_name("lake"), pd.read_csv(houses)
    deltalake.write_deltalake(str(lake), frame)
    words = ["--data", str(lake), "--target", "price", "--promote", "never"]
    trained = workspace.train(*words)
    assert trained.returncode == 0, trained.stderr
    deltalake.write_deltalake(str(lake), frame.head(100), mode="overwrite")
    done = reproduce(workspace, "lake")
    assert (done.returncode, reproduced(workspace, "lake")) == (0, "yes"), done.stdout + done.stderr
    assert f"from {lake}@0, the same as then" in done.stdout
    refused = reproduce(workspace, "lake", "--data", str(lake))
    assert refused.returncode == 2
    assert "lake@1 has fingerprint" in refused.stderr


def test_a_recorded_command_is_read_back_as_it_was_asked() -> None:
    """Commas and quotes in names, units with them: a reproduction reads what `as_params` wrote."""
    asked = TrainConfig(
        data="o'hara/t.csv",
        target="y",
        name="t",
        exclude=("a, b", 'say "x"'),
        key=("id",),
        units=(("y", "m²"), ("a, b", "km")),
    )
    words = [f"--{name} {shlex.quote(value)}" for name, value in asked.as_params().items() if value]
    assert parse(["train", *shlex.split(" ".join(words))]) == asked


def test_packages_that_differ_are_named_with_both_versions() -> None:
    """Absent ones too."""
    found = packages_in_words({"numpy": "2.4.5", "onnx": "1"}, {"numpy": "2.4.6", "onnx": "1", "optuna": "4"})
    assert found == ["numpy 2.4.5 then, 2.4.6 now", "optuna absent then, 4 now"]
