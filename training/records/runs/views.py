"""What MLflow's UI opens on: the run table's columns, the charts of the candidates, and the address of the table.

MLflow keeps a view that people share as a tag of the experiment. Ours are written where there are none, so that what
a person made of one stays. It knows no run.

The tags' form is no public interface: it was read in the UI of MLflow 3.17.2, and a test looks at it in a browser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mlflow
from mlflow.utils.time import get_current_time_millis

from training.records.inserts import insert

EXPERIMENT_KIND = "mlflow.experimentKind"
"""What an experiment is for. MLflow's UI shows it; 3.17.2 no longer opens an experiment by it: see `page_of`."""

NEWEST_FIRST = {"orderByKey": "attributes.start_time", "orderByAsc": False}
"""The one order in which the UI shows candidates under their training."""

SECTION = "slipway-candidates"


@dataclass(frozen=True)
class View:
    """A way to look at an experiment's runs: its name in the address and in the list "Views", and the UI's state."""

    key: str
    name: str
    state: Mapping[str, Any]

    @property
    def tag(self) -> str:
        """The experiment's tag that holds it."""
        return f"mlflow.sharedViewState.{self.key}"

    def written(self) -> str:
        """Return the tag's value: with a name, so that it is listed, and the state once more where older UIs look."""
        now = get_current_time_millis()
        listed = {"name": self.name, "createdAt": now, "updatedAt": now, "state": json.dumps(self.state)}
        return json.dumps({**self.state, **listed})


def _chart(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Return a chart as the UI keeps one."""
    own = {"uuid": f"{SECTION}-{name}", "type": kind, "metricSectionId": SECTION}
    return {**own, "runsCountToCompare": 20, "deleted": False, "isGenerated": False, **more}


def _section(uuid: str, name: str, *, shown: bool) -> dict[str, Any]:
    return {"uuid": uuid, "name": name, "display": shown, "isReordered": False, "deleted": False}


RUNS = View(
    "slipway",
    "Slipway: runs",
    {
        "selectedColumns": [
            "metrics.`holdout_rmse`",
            "metrics.`cv_rmse`",
            "metrics.`interval_coverage_90`",
            "params.`family`",
            "tags.`slipway.decision`",
        ],
        **NEWEST_FIRST,
    },
)

CANDIDATES = View(
    "slipway-candidates",
    "Slipway: candidates",
    {
        "selectedColumns": [
            "metrics.`cv_rmse`",
            "metrics.`cv_rmse_se`",
            "metrics.`fit_seconds`",
            "params.`family`",
        ],
        "searchFilter": "tags.`mlflow.parentRunId` != ''",
        "orderByKey": "metrics.`cv_rmse`",
        "orderByAsc": True,
        "compareRunCharts": [
            _chart("BAR", "error", metricKey="cv_rmse", displayName="cv_rmse"),
            _chart(
                "PARALLEL", "families", selectedParams=["family"], selectedMetrics=["fit_seconds", "cv_rmse"]
            ),
            _chart(
                "SCATTER",
                "cost",
                xaxis={"key": "fit_seconds", "type": "METRIC"},
                yaxis={"key": "cv_rmse", "type": "METRIC"},
            ),
        ],
        # the last two are the UI's own, which it looks for by name
        "compareRunSections": [
            _section(SECTION, "Candidates", shown=True),
            _section("slipway-metrics", "Model metrics", shown=False),
            _section("slipway-system", "System metrics", shown=False),
        ],
    },
)


def write(experiment_id: str) -> None:
    """Say that the experiment holds training runs and how they are shown, unless somebody said otherwise."""
    client = mlflow.MlflowClient()
    there = client.get_experiment(experiment_id).tags
    said = {EXPERIMENT_KIND: "custom_model_development"} | {
        view.tag: view.written() for view in (RUNS, CANDIDATES)
    }
    for tag, value in said.items():
        if tag not in there:
            insert(client.set_experiment_tag, experiment_id, tag, value)


def page_of(experiment_id: str) -> str:
    """Return the run table's place in the UI, from the address of the tracking server on.

    The kind of workflow is needed: 3.17 opens each experiment on its GenAI overview, whatever the experiment's
    kind, until a person has switched to "Model training".
    """
    return f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={RUNS.key}"
