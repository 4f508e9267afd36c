"""A run is opened, and closed with what came of it, however many others begin at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import mlflow

from tests.conftest import Workspace
from training.records import views


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
