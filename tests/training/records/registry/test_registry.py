"""What a version says of the rows that it was made from."""

from __future__ import annotations

import json
from contextlib import suppress

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from data.schema import Column, Schema
from data.splits import SplitRule, split_table
from data.tables import Table
from tests.conftest import Workspace
from training.records import ledger, model_registry, tag_names
from training.records.errors import FilesAway, NotOurs, WrongFiles
from training.records.registry import model_pages
from training.versions.flavor import Logged


def days(count: int) -> Table:
    """One row for each day from 2013-01-01 on."""
    texts = np.datetime_as_string(np.datetime64("2013-01-01") + np.arange(count)).tolist()
    frame = pd.DataFrame({"day": pd.Series(texts, dtype=object), "x": np.arange(count, dtype=float)})
    return Table("days.csv", frame, {"day": "datetime", "x": "number"})


def trained_on(table: Table, rule: SplitRule) -> model_registry.Version:
    """A version as it is registered after a training on the table."""
    schema = Schema((Column("x", "number"),), target="y")
    tags = model_registry.describe_rows(split_table(table, rule), schema, "fingerprint")
    return model_registry.Version("days", "1", "run", tags)


def test_a_time_split_counts_rows_from_the_versions_own_boundary() -> None:
    """A retrain on the first half of the table would otherwise judge the champion on rows it has learned."""
    champion = trained_on(days(1000), SplitRule("time", ("day",)))
    assert champion.held_out(days(1000)).sum() == 150
    assert champion.held_out(days(500)).sum() == 0
    # With 200 newer days: the 150 that it held out, and the 200.
    assert champion.held_out(days(1200)).sum() == 350


def test_a_hash_split_needs_no_boundary() -> None:
    """A row says itself where it stands."""
    rule = SplitRule("hash", ("day", "x"), salt="days")
    champion = trained_on(days(1000), rule)
    assert tag_names.HELD_OUT_FROM not in champion.tags
    np.testing.assert_array_equal(champion.held_out(days(500)), champion.held_out(days(1000))[:500])


def test_a_version_without_our_tags_is_not_ours() -> None:
    """Somebody registered it with MLflow alone: there is no telling what it learned from."""
    with pytest.raises(NotOurs, match=r"lacks the tag slipway\.split"):
        model_registry.Version("days", "1", "run", {}).held_out(days(10))


def http_denial() -> Exception:
    """The HTTP client's error for files that the server does not send to this user."""
    response = requests.Response()
    response.status_code = 403
    return requests.HTTPError("403 Client Error", response=response)


def denied(*_: object, **__: object) -> None:
    """What the server answers to a user who may not ask."""
    raise MlflowException("endpoint x failed", error_code=PERMISSION_DENIED)


@pytest.mark.parametrize("error", [MlflowException("no", error_code=PERMISSION_DENIED), http_denial()])
def test_a_download_that_is_denied_is_not_told_as_changed_files(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads that files are gone or changed looks for a thief, not for a permission."""

    def download(**_: object) -> str:
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    with pytest.raises(type(error)):
        _ = model_registry.Version("days", "1", "run", {tag_names.FILES: "0" * 64}).folder


class Client:
    """MLflow's client for a user who may not ask for versions, and what it says of models."""

    def __init__(self, code: int) -> None:
        self.code = code

    def get_model_version(self, name: str, number: str) -> None:
        """Deny it: a name that is not there yet is denied too."""
        denied()

    def get_registered_model(self, name: str) -> str:
        """Answer, or fail with a code."""
        if self.code:
            raise MlflowException(name, error_code=self.code)
        return name


@pytest.mark.parametrize(
    ("of_name", "is_absent"), [(RESOURCE_DOES_NOT_EXIST, True), (0, False), (PERMISSION_DENIED, False)]
)
def test_a_version_that_is_denied_is_absent_only_where_its_name_is(
    of_name: int, is_absent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server with users denies what is not there; taken for absent, a champion that is there would be replaced."""
    monkeypatch.setattr(mlflow, "MlflowClient", lambda: Client(of_name))
    if is_absent:
        assert model_registry.find_version("days", "1") is None
        return
    with pytest.raises(MlflowException) as error:
        model_registry.find_version("days", "1")
    assert error.value.error_code == "PERMISSION_DENIED"


def logged_model(client: mlflow.MlflowClient, experiment: str = "line") -> tuple[Logged, str]:
    """A model of a run's, without files; the run."""
    place = client.create_experiment(experiment)
    run_id = client.create_run(place).info.run_id
    model = client.create_logged_model(place, name="model", source_run_id=run_id)
    return Logged(model.model_uri, model.model_id, "digest", "files"), run_id


@pytest.mark.parametrize(("made", "answered"), [(1, True), (1, False), (2, True), (2, False)])
def test_a_version_is_registered_once_whatever_answer_is_lost(
    made: int, answered: bool, tracking: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's client asks again where no answer comes, and the server makes a version each time."""
    create = mlflow.MlflowClient.create_model_version

    def unsteady(*given: object, **named: object) -> object:
        found = [create(*given, **named) for _ in range(made)]
        if not answered:
            raise MlflowException("API request failed with exception: read timed out")
        return found[-1]

    client = mlflow.MlflowClient()
    logged, run_id = logged_model(client)
    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", unsteady)
    tags = {"slipway.decision": "undecided"}
    version = model_registry.register("line", logged, run_id=run_id, tags=tags, description="it")
    assert (version.number, version.files, version.tags["slipway.decision"]) == ("1", "files", "undecided")
    assert [each.number for each in model_registry.versions("line")] == ["1"]
    assert named_on(logged) == [{"name": "line", "version": "1"}]


def named_on(logged: Logged) -> list[dict[str, str]]:
    """What MLflow's UI reads on a model's page: the versions that it is registered as."""
    tags = mlflow.MlflowClient().get_logged_model(logged.model_id).tags
    return list(json.loads(tags.get("mlflow.modelVersions", "[]")))


def test_a_models_page_names_what_mlflow_names(tracking: Workspace) -> None:
    """In the same words, beside what is named there already, and not twice."""
    client = mlflow.MlflowClient()
    logged, run_id = logged_model(client)
    other, _ = logged_model(client, "of others")
    mlflow.register_model(other.model_uri, "line")
    theirs = named_on(other)
    assert theirs == [{"name": "line", "version": theirs[0]["version"]}]
    model_registry.register("line", other, run_id=run_id, tags={}, description="")
    model_pages.show("line", "2")
    assert named_on(other) == [{"name": "line", "version": "1"}, {"name": "line", "version": "2"}]
    client.set_logged_model_tags(logged.model_id, {"mlflow.modelVersions": "somebody's own"})
    model_registry.register("line", logged, run_id=run_id, tags={}, description="")
    assert named_on(logged) == [{"name": "line", "version": "3"}]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), MlflowException("disk full")])
def test_a_page_that_was_not_written_is_written_with_the_next_entry(
    end: BaseException, tracking: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed behind the version: it is whole and undecided. A store that fails for the page alone ends nothing."""

    def ending(*_: object) -> None:
        raise end

    logged, run_id = logged_model(mlflow.MlflowClient())
    words = {"run_id": run_id, "tags": {"slipway.digest": "digest"}, "description": ""}
    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(mlflow.MlflowClient, "set_logged_model_tags", ending)
        model_registry.register("line", logged, **words)
    (version,) = model_registry.versions("line")
    assert (version.files, named_on(logged)) == ("files", [])
    ledger.record(ledger.settle("line"), version, kind="refusal", reason="no better")
    assert named_on(logged) == [{"name": "line", "version": "1"}]


def test_a_version_that_was_not_made_is_no_version(
    tracking: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server said goes on; an earlier version of the name is not taken for it."""
    client = mlflow.MlflowClient()
    logged, run_id = logged_model(client)
    client.create_registered_model("line")
    client.create_model_version("line", source="elsewhere", run_id=run_id)

    def full(*_: object, **__: object) -> None:
        raise MlflowException("disk full")

    monkeypatch.setattr(mlflow.MlflowClient, "create_model_version", full)
    with pytest.raises(MlflowException, match="disk full"):
        model_registry.register("line", logged, run_id=run_id, tags={}, description="")


def lost(text: str, cause: Exception | None = None) -> MlflowException:
    """MLflow's own error of a download."""
    error = MlflowException(text)
    error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (lost("no", requests.ConnectionError("refused")), FilesAway, "the server did not answer (Conn"),
        (
            lost("no", requests.exceptions.RetryError("too many 503 error responses")),
            FilesAway,
            "the server answers 503, its database or its files may be down, or full",
        ),
        (
            lost(
                "The following failures occurred while downloading one or more artifacts from s3://b/m: MLmodel"
            ),
            FilesAway,
            "some came in part, or not at all",
        ),
        (lost("no", requests.HTTPError("404 Client Error: NOT FOUND")), WrongFiles, "or are gone"),
        (FileNotFoundError("its folder is empty"), WrongFiles, "or are gone"),
        (
            lost(
                "The following failures occurred while downloading one or more artifacts from /m: Invalid path"
            ),
            WrongFiles,
            "or are gone",
        ),
    ],
)
def test_an_outage_is_not_told_as_other_files(
    error: Exception, kind: type[Exception], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate entered a refusal for ever, and `history` cried tampering, where the bucket was away for a moment."""

    def download(**_: object) -> str:
        raise error

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    with pytest.raises(kind) as raised:
        _ = model_registry.Version("days", "1", "run", {tag_names.FILES: "0" * 64}).folder
    assert type(raised.value) is kind
    assert said in str(raised.value)
