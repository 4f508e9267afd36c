"""MLflow's UI opens on a table with figures, and what a person made of the view stays."""

from __future__ import annotations

import json
from typing import Any

import mlflow

from tests.conftest import Workspace
from training.records.runs import views
from training.records.tracking import open_run


def kept(experiment_id: str) -> dict[str, Any]:
    """Return the view's tag, read."""
    return dict(json.loads(mlflow.get_experiment(experiment_id).tags[views.RUNS.tag]))


def test_the_first_run_writes_the_view_that_its_address_opens(tracking: Workspace) -> None:
    """MLflow shows a run table without a single metric until a person picks columns."""
    with open_run("houses", "train houses") as run:
        page = run.page
    assert page.endswith(f"/runs?workflowType=machine_learning&viewStateShareKey={views.RUNS.key}")
    tag = kept(run.experiment_id)
    state = json.loads(tag["state"])
    assert {"metrics.`holdout_rmse`", "params.`family`", "tags.`slipway.decision`"} <= set(
        state["selectedColumns"]
    )
    assert (state["orderByKey"], state["orderByAsc"]) == ("attributes.start_time", False)
    assert isinstance(tag["name"], str)
    assert isinstance(tag["createdAt"], int), "else MLflow does not list it under Views"
    assert tag["selectedColumns"] == state["selectedColumns"], "where an older UI looks"


def test_a_view_that_a_person_changed_stays(tracking: Workspace) -> None:
    """It is theirs by then: a retrain writes nothing over it."""
    with open_run("houses", "train houses") as run:
        pass
    mlflow.MlflowClient().set_experiment_tag(run.experiment_id, views.RUNS.tag, '{"selectedColumns": []}')
    with open_run("houses", "train houses"):
        pass
    assert kept(run.experiment_id) == {"selectedColumns": []}


def test_an_experiment_from_before_gets_the_view(tracking: Workspace) -> None:
    """The address is printed there too; its kind, which somebody chose, stays."""
    place = mlflow.create_experiment("houses", tags={views.EXPERIMENT_KIND: "regression"})
    with open_run("houses", "train houses"):
        pass
    assert kept(place)["name"] == "Slipway: runs"
    assert mlflow.get_experiment(place).tags[views.EXPERIMENT_KIND] == "regression"
