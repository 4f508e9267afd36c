"""A follower whose registry breaks: down, silent, answering garbage, cutting downloads short."""

from __future__ import annotations

import sys

import pytest

from serving.running import await_port, free_port, started
from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from tests.registered import copied
from tests.serving.fleet.followed import POLL, Load, answered, held, status, until
from tests.serving.front.connections.broken_wire import Wire


@pytest.fixture(scope="module")
def wired(empty_store, tmp_path_factory, sources):
    """A real `mlflow server` behind a wire that can break; versions 1 and 2 of `line`."""
    import mlflow

    folder = tmp_path_factory.mktemp("registry")
    copied(empty_store.parent, folder)
    port = free_port()
    words = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *words]
    with (
        (folder / "log").open("w") as log,
        started(command, cwd=folder, stdout=log, stderr=log, start_new_session=True),
    ):
        await_port(port, 200)
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        client.create_registered_model("line")
        # experiment 0 keeps its files where the empty store was made
        experiment = client.create_experiment("line")
        for source in sources:
            run = client.create_run(experiment)
            client.log_artifacts(run.info.run_id, str(source), "model")
            tags = {PINNED_TAG: digest_in(source / "scorer")}
            client.create_model_version("line", f"{run.info.artifact_uri}/model", run.info.run_id, tags=tags)
        wire = Wire(port)
        wire.client = client
        yield wire
        wire.close()


@pytest.fixture
def wire(wired, monkeypatch):
    """The wire, whole, with the alias at version 1."""
    wired.mode = "whole"
    wired.client.set_registered_model_alias("line", "champion", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wired.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    return wired


@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        ("cut", "registry down"),
        ("slow", "registry does not answer"),
        ("nonsense", "registry answers garbage"),
        ("short", "download truncated"),
    ],
)
def test_a_broken_registry_changes_nothing_until_it_is_whole(start, wire, tmp_path, mode, fault):
    """The alias moves behind the broken wire; the server takes the version when it can."""
    options = ["--model", "models:/line@champion", "--poll-seconds", str(POLL), "--cache", str(tmp_path)]
    with start(*options) as served, Load(served) as load:
        wire.mode = mode
        wire.client.set_registered_model_alias("line", "champion", "2")
        until(lambda: "cannot be used now" in status(served)["registry"])
        assert answered(served) == "1"
        wire.mode = "whole"
        until(lambda: answered(served) == "2")
        until(lambda: status(served)["state"] == "READY" and not status(served)["registry"])
    held(load, fault, "served on, said so in /status, asked ever more slowly; recovered")


def test_a_server_starts_from_its_cache_when_the_registry_is_down(start, wire, tmp_path):
    """And follows it again when it is back."""
    options = ["--model", "models:/line@champion", "--poll-seconds", str(POLL), "--cache", str(tmp_path)]
    with start(*options) as served:
        assert answered(served) == "1"
    wire.mode = "cut"
    with start(*options) as served, Load(served) as load:
        assert answered(served) == "1"
        assert "cannot be used now" in status(served)["registry"]
        assert status(served)["registry_stale_seconds"] is None
        wire.mode = "whole"
        wire.client.set_registered_model_alias("line", "champion", "2")
        until(lambda: answered(served) == "2")
    held(
        load, "registry down at the start", "started with the last version from the cache, said so; recovered"
    )
