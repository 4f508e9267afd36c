"""As which versions a model is registered, on its own page in MLflow's UI, which reads a tag of the model.

MLflow's server writes the tag with each version, and `mlflow.register_model` does; the client leaves it alone where it
writes to a database itself. It is for people alone: a version without it is whole, and no command fails for it. So it
comes after the version, and each entry in the ledger about the version writes it where a kill or an outage left it out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection

import mlflow
from mlflow.entities import LoggedModel
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS


def show(name: str, number: str, *, gone: Collection[str] = ()) -> None:
    """Let the page of a version's model name the version, and none of the numbers that are gone."""
    client = mlflow.MlflowClient()
    try:
        _, ours, model_id = str(client.get_model_version(name, number).source).rpartition("models:/")
        if not ours or "/" in model_id:  # somebody registered files, or a version of another name
            return
        found = _named_on(client.get_logged_model(model_id))
        wanted = [each for each in found if each not in {(name, other) for other in gone}]
        wanted += [(name, number)] if (name, number) not in wanted else []
        if wanted != found:
            said = [{"name": model, "version": version} for model, version in wanted]
            client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: json.dumps(said)})
    except MlflowException:
        text = "the page of the model of %s version %s does not name the version yet"
        logging.getLogger(__name__).warning(text, name, number, exc_info=True)


def _named_on(model: LoggedModel) -> list[tuple[str, str]]:
    """Return names and numbers of the versions that a model's page names; none where the tag is somebody's own."""
    try:
        said = json.loads(model.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
        return [(str(each["name"]), str(each["version"])) for each in said]
    except (ValueError, TypeError, KeyError):
        return []
