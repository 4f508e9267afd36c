"""KServe's kinds: their command lines, the words that KServe adds, and what a service is called."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving import fetch
from serving.options import parser, settings_of, sources_of
from tests.conftest import ROOT
from tests.deploy.manifests import KSERVE, objects_in, of_kind, rendered, written_from_page
from tests.serving.conftest import serve

MOUNTED = "/mnt/models"
"""Where KServe has a storage initializer write, and a server read: DefaultModelLocalMountPath."""
EXAMPLE = yaml.safe_load((KSERVE / "inference-service.yaml").read_text())


def runtime() -> dict[str, Any]:
    """Return the runtime's container, and what it serves."""
    (found,) = of_kind(objects_in(KSERVE), "ClusterServingRuntime")
    spec: dict[str, Any] = found["spec"]
    return spec


def storage() -> dict[str, Any]:
    """Return what fetches versions."""
    (found,) = of_kind(objects_in(KSERVE), "ClusterStorageContainer")
    spec: dict[str, Any] = found["spec"]
    return spec


def words_for(service: str, folder: str) -> list[str]:
    """Return the runtime's words as KServe fills them for a service."""
    (container,) = runtime()["containers"]
    return [word.replace("{{.Name}}", service).replace(MOUNTED, folder) for word in container["args"]]


def test_the_runtime_starts_a_server() -> None:
    """Each option exists, and together they hold."""
    given = parser().parse_args(words_for("flights", MOUNTED))
    assert sources_of(given.model) == {"flights": MOUNTED}
    settings_of(given)
    (container,) = runtime()["containers"]
    assert container["name"] == "kserve-container"
    assert {each["containerPort"] for each in container["ports"]} == {given.port}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == given.port
    assert runtime()["annotations"]["prometheus.kserve.io/port"] == str(given.port)
    assert given.drain_delay + given.drain_seconds + 5 <= 30  # a pod's grace where KServe sets none


def test_services_find_the_runtime_by_their_format() -> None:
    """By itself for `slipway`; for `mlflow` only by name, as another runtime takes that one."""
    formats = {each["name"]: each for each in runtime()["supportedModelFormats"]}
    assert formats["slipway"]["autoSelect"] is True
    assert formats["mlflow"]["autoSelect"] is False
    assert set(runtime()["protocolVersions"]) == {"v2", "grpc-v2"}
    model = EXAMPLE["spec"]["predictor"]["model"]
    assert model["runtime"] == "slipway"
    assert model["modelFormat"]["version"] == formats[model["modelFormat"]["name"]]["version"]
    assert model["protocolVersion"] in runtime()["protocolVersions"]


def test_addresses_of_models_are_taken_and_no_others() -> None:
    """KServe asks the containers whose expression fits; two that fit are a draw."""
    (form,) = storage()["supportedUriFormats"]
    taken = [EXAMPLE["spec"]["predictor"]["model"]["storageUri"], "models:/flights/3"]
    assert all(re.search(form["regex"], uri) for uri in taken)
    assert not any(re.search(form["regex"], uri) for uri in ("s3://models:/x", "gs://bucket", "hf://models"))
    assert storage()["container"]["name"] == "storage-initializer"  # or KServe adds its own beside it


def test_a_signature_is_asked_for_as_the_page_shows(tmp_path: Path) -> None:
    """Both programs take the words; what is patched past its place would be served unsigned."""
    written_from_page(tmp_path)
    objects = objects_in(tmp_path / "1")
    (stored,) = of_kind(objects, "ClusterStorageContainer")
    fetched = fetch.parser().parse_args([*stored["spec"]["container"]["command"][3:], "models:/x@y", MOUNTED])
    (served,) = of_kind(objects, "ClusterServingRuntime")
    given = parser().parse_args(served["spec"]["containers"][0]["args"])
    assert fetched.trust == given.trust == ["/etc/slipway/signing.pub"]
    assert (fetched.uri, str(fetched.target)) == ("models:/x@y", MOUNTED)
    assert "registry.example.com" not in rendered(tmp_path / "1")


@pytest.mark.soak
def test_a_service_answers_under_its_own_name_with_what_kserve_had_fetched(store, tmp_path: Path) -> None:
    """Both commands as they stand in the manifests, with the two words and the name that KServe puts in."""
    folder = tmp_path / "models"
    command = storage()["container"]["command"]
    assert "args" not in storage()["container"]
    assert command[1:] == ["-m", fetch.__name__]
    words = [sys.executable, *command[1:], "models:/line@champion", str(folder)]
    homeless = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        words, env=homeless, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    words = words_for("house-prices", str(folder))
    for option in ("--port", "--grpc-port"):
        words[words.index(option) + 1] = "0"
    words[words.index("--host") + 1] = "127.0.0.1"
    with serve(*words) as served:
        assert served.call("/v2/models/house-prices/ready")[0] == 200
        inputs = [{"name": "x", "shape": [1], "datatype": "FP64", "data": [3.0]}]
        status, answer, _ = served.call("/v2/models/house-prices/infer", {"inputs": inputs})
        assert status == 200
        assert answer["model_name"] == "house-prices"
        assert served.call("/v2/models/line/infer", {"inputs": inputs})[0] == 404


def kept(ours: Any, read: Any) -> bool:
    """Return whether all of ours is in what was read, in its place."""
    if isinstance(ours, dict):
        return all(key in read and kept(value, read[key]) for key, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(read) and all(map(kept, ours, read))
    return bool(ours == read)


@pytest.mark.soak
def test_kserves_own_models_know_every_field(environment_of: Callable[..., Path], tmp_path: Path) -> None:
    """Its Python SDK reads them and writes them again: what it does not know would be gone."""
    commands = environment_of("kubernetes==31.0.0", "six", "pyyaml", "setuptools<80")
    words = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        commands / "python",
        "--no-deps",
        "kserve==0.21.0",
    ]
    subprocess.run(words, check=True)
    written = [*objects_in(KSERVE), EXAMPLE]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(written))
    script = ROOT / "tests" / "deploy" / "kserve_models.py"
    done = subprocess.run(
        [commands / "python", script, tmp_path / "all.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(read) == len(written) == 3
    for ours, theirs in zip(written, read, strict=True):
        assert kept(ours, theirs), ours["kind"]
    wrong = written[0] | {"spec": written[0]["spec"] | {"supportedModelFormat": []}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    done = subprocess.run(
        [commands / "python", script, tmp_path / "wrong.yaml"], capture_output=True, text=True, check=True
    )
    assert not kept(wrong, json.loads(done.stdout))  # a field that nobody knows is noticed
