"""What `--model` may name: several models, versions nobody promoted, names that look like ids."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from tests.conftest import ROOT
from tests.serving.fleet.followed import Load, answered, until
from tests.serving.fleet.paced_load import STEP


def test_several_models_have_paths_of_their_own(start, registry, line):
    """Each with its version; the plain paths belong to nobody."""
    options = registry.options()
    options[1] = f"a={options[1]}"
    with start(*options, "--model", f"b={line}") as served, Load(served):
        assert answered(served, "/models/a/predict") == "1"
        assert served.call("/models/b/predict", {"x": 3})[0] == 200
        assert served.call("/models/b/openapi.json")[0] == served.call("/models/a/readyz")[0] == 200
        assert served.call("/predict", {"x": 3})[0] == served.call("/models/c/predict", {"x": 3})[0] == 404
        registry.point(2)
        until(lambda: answered(served, "/models/a/predict") == "2")
        assert set(served.call("/status")[1]["models"]) == {"a", "b"}


@pytest.mark.parametrize("names", [["a=x", "a=y"], ["x", "y"], ["a=x", "y"], ["a/b=x", "c=y"]])
def test_several_models_need_names(names):
    """One line, exit 2, before anything is fetched."""
    words = [word for name in names for word in ("--model", name)]
    command = [sys.executable, "-m", "serving", *words]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "NAME=PLACE" in done.stderr


@pytest.mark.parametrize("place", ["models:/line/1", "models:/m-{}", "runs:/{}/model"])
def test_what_was_not_promoted_needs_the_flag(registry, sources, start, place):
    """A version by its number, a logged model by its id and a run's folder are nobody's decision yet."""
    import mlflow

    mlflow.set_tracking_uri(registry.uri)
    registry.client.delete_model_version_tag("line", "1", PINNED_TAG)
    if place.startswith("runs:"):
        with mlflow.start_run() as run:
            mlflow.log_artifacts(str(sources[0]), "model")
        place = place.format(run.info.run_id)
    elif "{}" in place:
        model = mlflow.initialize_logged_model(name="model")
        registry.client.log_model_artifacts(model.model_id, str(sources[0]))
        mlflow.finalize_logged_model(model.model_id, "READY")
        place = place.replace("m-{}", model.model_id)
    options = ["--model", place, "--cache", str(registry.cache)]
    command = [sys.executable, "-m", "serving", "--port", "0", *options]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "--allow-unpromoted" in done.stderr) == (3, True)
    with start(*options, "--allow-unpromoted") as served:
        assert served.call("/predict", {"x": 3})[1]["y"] > STEP


@pytest.mark.parametrize("place", ["models:/m-sales@champion", "models:/m-5a1e5/1"])
def test_a_name_that_looks_like_an_id_is_a_name(registry, start, place):
    """MLflow's ids of logged models begin with m- too."""
    name = place.removeprefix("models:/").split("@")[0].split("/")[0]
    registry.client.create_registered_model(name)
    tags = {PINNED_TAG: digest_in(registry.sources[0] / "scorer")}
    registry.client.create_model_version(name, str(registry.sources[0]), tags=tags)
    registry.client.set_registered_model_alias(name, "champion", "1")
    with start("--model", place, "--cache", str(registry.cache)) as served:
        assert answered(served) == "1"
