"""A messy table and three flags: what `mlflow run` leaves in MLflow, each claim by itself, of one training."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT, Workspace
from tests.registered import copied

pytestmark = pytest.mark.soak

ROWS = 400
PLOTS = {
    f"plots/{name}.png"
    for name in (
        "predicted_against_actual",
        "residuals_by_predicted",
        "residual_histogram",
        "permutation_importance",
        "dependence",
        "learning_curve",
        "interval_coverage",
    )
}


@dataclass(frozen=True)
class Trained:
    """What the command said, and its run through MLflow's own client."""

    workspace: Workspace
    done: subprocess.CompletedProcess[str]
    client: Any
    run: Any

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.info.run_id

    def files(self, folder: str | None = None) -> set[str]:
        """The run's artifacts."""
        return {file.path for file in self.client.list_artifacts(self.run_id, folder)}


def messy() -> pd.DataFrame:
    """Text, dates, booleans, gaps in features and in the target."""
    random = np.random.default_rng(5)
    area = random.uniform(30, 200, ROWS)
    day = np.datetime64("2020-01-01") + random.integers(0, 900, ROWS)
    city = random.choice(["Ulm", "Bonn", "Köln"], ROWS)
    frame = pd.DataFrame(
        {
            "sold": np.datetime_as_string(day),
            "city": np.where(random.random(ROWS) < 0.05, None, city),
            "floor area": np.where(random.random(ROWS) < 0.05, np.nan, area.round(1)),
            "garden": random.choice(["true", "false"], ROWS),
            "price": (area * 30 + (city == "Köln") * 900 + random.normal(0, 50, ROWS)).round(2),
        }
    )
    frame.loc[:4, "price"] = np.nan
    return frame


@pytest.fixture(scope="module")
def trained(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One `mlflow run` from another folder, a quote in the table's path."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("messy")
    copied(empty_store.parent, folder)
    workspace = Workspace(folder, {**os.environ, "PYTHONPATH": str(ROOT)})
    workspace.environment["MLFLOW_TRACKING_URI"] = workspace.uri
    table = folder / "o'hara houses" / "houses.csv"
    table.parent.mkdir()
    messy().to_csv(table, index=False)
    words = [f"data={table}", "target=price", "units=price=EUR,floor area=m²", "trials=2"]
    flags = [word for parameter in words for word in ("-P", parameter)]
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT), "--env-manager", "local"]
    done = workspace.run(*command, *flags, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    client = MlflowClient(workspace.uri)
    runs = client.search_runs([client.get_experiment_by_name("houses").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    return Trained(workspace, done, client, parent)


@pytest.mark.soak
def test_the_person_is_told_what_was_left_out_and_what_was_promoted(trained: Trained) -> None:
    """On the terminal, as it happens."""
    assert "5 rows have no price and are left out" in trained.done.stdout
    assert "promoted: houses had no champion" in trained.done.stdout
    assert trained.run.data.metrics["rows_without_target"] == 5


def test_the_run_is_finished_and_says_what_made_it(trained: Trained) -> None:
    """Data, packages and command: what a colleague needs to make it again."""
    assert trained.run.info.status == "FINISHED"
    tags = trained.run.data.tags
    assert len(tags["slipway.data_fingerprint"]) == 32
    assert "scikit-learn 1." in tags["slipway.versions"]
    assert tags["slipway.command"].startswith("python -m training train --data")
    assert "model_spec.json" in trained.files()


def test_the_error_lies_between_the_noise_and_the_obvious(trained: Trained) -> None:
    """The noise alone is 50; a missing area (5 % of them) costs what the areas spread, 1,470."""
    figures = trained.run.data.metrics
    assert {"holdout_rmse_se", "train_mae", "fit_seconds", "rows_holdout"} <= set(figures)
    assert 45 < figures["holdout_rmse"] < 0.5 * figures["dummy_holdout_rmse"]
    assert figures["holdout_rmse_low"] < figures["holdout_rmse"] < figures["holdout_rmse_high"]


def test_the_plots_are_kept(trained: Trained) -> None:
    """Each of them, and no other."""
    assert trained.files("plots") == PLOTS


def test_the_card_is_one_file_of_all_sections_that_loads_nothing(trained: Trained) -> None:
    """It is sent on by mail; a link or a script would be blocked, or be a hole."""
    folder = str(trained.workspace.folder)
    card = Path(trained.client.download_artifacts(trained.run_id, "card.html", folder)).read_text()
    assert re.findall(r"<h2>(.*?)</h2>", card) == [
        "What it is",
        "Data",
        "Split",
        "How it was chosen",
        "Errors on the holdout",
        "More rows",
        "Intervals",
        "Importance",
        "Limits",
        "How to call it",
    ]
    assert card.count('src="data:image/png;base64,') == card.count("src=") == len(PLOTS)
    assert "<link" not in card
    assert "<script" not in card
    assert "floor area [m²]" in card


def test_the_candidates_are_nested_in_an_experiment_of_the_right_kind(trained: Trained) -> None:
    """MLflow's UI opens such an experiment on its runs, one for each training."""
    place = trained.run.info.experiment_id
    children = trained.client.search_runs([place], f"tags.`mlflow.parentRunId` = '{trained.run_id}'")
    assert {child.info.run_name for child in children} >= {"mean", "ridge"}
    kind = trained.client.get_experiment(place).tags["mlflow.experimentKind"]
    assert kind == "custom_model_development"


def test_the_champions_page_says_how_good_it_is_and_leads_to_the_card(trained: Trained) -> None:
    """Who looks at the registry has not seen the run."""
    champion = trained.client.get_model_version_by_alias("houses", "champion")
    assert champion.tags["slipway.decision"] == "promoted"
    assert "typical error (holdout RMSE)" in champion.description
    assert re.search(r"- \*\*RMSE\*\* [\d.,]+ \[[\d.,]+, [\d.,]+\] EUR", champion.description)
    assert f"/runs/{trained.run_id}/artifacts/card.html)" in champion.description


def test_stock_mlflow_predicts_where_slipway_is_not_installed(trained: Trained) -> None:
    """The version carries what it needs."""
    loaded = trained.workspace.run(sys.executable, "-c", LOAD_STOCK, PYTHONPATH="")
    assert loaded.returncode == 0, loaded.stderr
    predictions = json.loads(loaded.stdout)
    assert predictions[0] == pytest.approx(3000, rel=0.1)
    assert predictions[1] == pytest.approx(3900, rel=0.1)


LOAD_STOCK = """
import json, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/houses@champion")
row = {"sold": "2021-05-01", "city": "Ulm", "floor area": 100.0, "garden": 1.0}
print(json.dumps(list(map(float, model.predict(pd.DataFrame([row, row | {"city": "Köln"}]))))))
"""
