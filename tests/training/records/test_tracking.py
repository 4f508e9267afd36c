"""A run is opened, and closed with what came of it, however many others begin at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import mlflow
import pandas as pd
import pytest

from tests.conftest import Workspace
from training.records import tracking as module
from training.records.runs import views


def test_first_trainings_that_begin_at_once_all_get_their_run(tracking: Workspace) -> None:
    """Each finds an experiment without its kind and sets it; MLflow refuses all but one that insert at once."""
    together = Barrier(8)

    def begin(place: str) -> None:
        together.wait()
        views.write(place)

    for number in range(20):  # without the second try, one experiment in fifteen meets it
        place = mlflow.create_experiment(f"first {number}")
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(begin, [place] * 8))
        assert mlflow.get_experiment(place).tags[views.EXPERIMENT_KIND] == "custom_model_development"


def test_trainings_that_log_one_table_at_once_all_log_it(tracking: Workspace) -> None:
    """Two first trainings of a table met MLflow's unique constraint, and one of them ended there."""
    together = Barrier(4)

    def training(number: int) -> str:
        run = mlflow.MlflowClient().create_run("0")
        own = module.Run(run.info.run_id, "0", has_params=True)
        with mlflow.start_run(run_id=run.info.run_id):
            together.wait()
            own.log_dataset(frame, where=f"houses-{number}.csv", target="y", digest="abc", rows=2)
        return run.info.run_id

    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    with ThreadPoolExecutor(4) as threads:
        for number in range(5):
            for run_id in threads.map(training, [number] * 4):
                (logged,) = mlflow.get_run(run_id).inputs.dataset_inputs
                assert (logged.dataset.name, logged.dataset.digest) == (f"houses-{number}", "abc")


def test_metrics_that_wait_for_their_model_are_the_runs_and_the_models_once(tracking: Workspace) -> None:
    """MLflow noted them at the model by a round trip for the history of each, and kept each twice."""
    client = mlflow.MlflowClient()
    with module.open_run("houses", "train houses") as run:
        with run.before_its_model() as measured:
            measured.log(metrics={"rmse": 2.0}, params={"family": "ridge"})
            model = client.create_logged_model(run.experiment_id, name="model", source_run_id=run.run_id)
            measured.has_model(model.model_id)
            measured.log(metrics={"parity": 0.0})
            data = client.get_run(run.run_id).data
            assert (data.metrics, data.params) == ({}, {"family": "ridge"})
        run.log(metrics={"gate": 1.0})
    assert client.get_run(run.run_id).data.metrics == {"rmse": 2.0, "parity": 0.0, "gate": 1.0}
    assert len(client.get_metric_history(run.run_id, "rmse")) == 1
    found = client.get_logged_model(model.model_id).metrics
    assert {each.key: each.value for each in found} == {"rmse": 2.0, "parity": 0.0}


def test_metrics_of_a_training_that_fails_before_its_model_are_kept(tracking: Workspace) -> None:
    """What was measured until then says why it failed."""
    with (
        pytest.raises(ValueError, match="no model"),
        module.open_run("houses", "train houses") as run,
        run.before_its_model() as measured,
    ):
        measured.log(metrics={"rmse": 2.0})
        raise ValueError("no model")
    assert mlflow.MlflowClient().get_run(run.run_id).data.metrics == {"rmse": 2.0}
