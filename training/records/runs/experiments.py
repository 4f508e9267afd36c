"""In which experiment a command's run is kept: the one that somebody named, else the model's own.

`mlflow run` has opened a run before a command begins, and no run can be moved. Where nobody named an experiment the
command gets a run of its own, with what MLflow said of the other; that one points to it by the tag `slipway.run` and is
deleted by a later command (`serving.registry.given_run`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import mlflow
from mlflow.exceptions import MlflowException

from serving.registry import given_run
from training.records import tag_names
from training.records.errors import ExperimentDeleted
from training.records.runs.processes import this_process


@dataclass(frozen=True)
class Begun:
    """A run that has begun.

    Attributes
    ----------
    run_id, experiment_id : str
        Of the run.
    has_params : bool
        Whether `mlflow run` has logged the parameters on it: logging one again would raise.
    stands_for : str
        The id of the run that `mlflow run` opened and that this one takes the place of, or nothing.
    """

    run_id: str
    experiment_id: str
    has_params: bool = False
    stands_for: str = ""

    def end(self, status: str) -> None:
        """End the run, and the one that it stands for."""
        mlflow.end_run(status)
        if self.stands_for:
            given_run.close_empty(
                mlflow.MlflowClient(), self.stands_for, status, {tag_names.RUN: self.run_id}
            )


def begin(model: str, job: str) -> Begun:
    """Start the run of a command about a model; raises MlflowException, and ExperimentDeleted for the model's own."""
    given = given_run.run_id()
    if given and given_run.is_chosen(mlflow.MlflowClient().get_run(given).info.experiment_id):
        return _begun(mlflow.start_run(tags=_tags(job)), has_params=True)
    if not given and {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
        return _begun(mlflow.start_run(run_name=job, tags=_tags(job)))
    place, tags = _experiment(model), _tags(job)
    if given:
        tags = dict(mlflow.MlflowClient().get_run(given).data.tags) | tags
        os.environ.pop("MLFLOW_RUN_ID")
    begun = _begun(mlflow.start_run(experiment_id=place, run_name=job, tags=tags), stands_for=given)
    if given:
        for name, value in _pointing(job, begun).items():
            mlflow.MlflowClient().set_tag(given, name, value)
    return begun


def _tags(job: str) -> dict[str, str]:
    """Return what a run bears from its start on: one that the server made, and told nobody of, has to be closed too."""
    return given_run.tags_of(job) | {tag_names.PROCESS: this_process()}


def _pointing(job: str, begun: Begun) -> dict[str, str]:
    return given_run.tags_of(job) | {tag_names.RUN: begun.run_id, given_run.EMPTY_TAG: "true"}


def _begun(active: mlflow.ActiveRun, *, has_params: bool = False, stands_for: str = "") -> Begun:
    return Begun(active.info.run_id, active.info.experiment_id, has_params, stands_for)


def _experiment(model: str) -> str:
    """Return the id of the model's experiment, which is made where there is none."""
    client = mlflow.MlflowClient()
    result = client.get_experiment_by_name(model)
    if result is None:
        try:
            return str(client.create_experiment(model))
        except MlflowException:  # another first training was first
            result = client.get_experiment_by_name(model)
            if result is None:
                raise
    if result.lifecycle_stage != "active":
        raise ExperimentDeleted(name=model, experiment_id=result.experiment_id)
    return str(result.experiment_id)
