"""The manifests hold together: their command lines are taken, what they name is there, nothing has a right too many."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from serving.batch import __main__ as batch
from serving.options import parser, settings_of, sources_of
from tests.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    command_line,
    environment_of_container,
    kubectl,
    objects_in,
    of_kind,
    pods_in,
    rendered,
    written_from_page,
)
from tests.serving.conftest import serve
from training.__main__ import FOUND_SOMETHING
from training.commands import parse

MIB = 2**20
SERVER_MIB = 384
"""Of the parent with MLflow, and of one worker with a small model."""
PYTHON = "/opt/slipway/bin/python"

overlays = pytest.mark.parametrize("overlay", OVERLAYS)


def objects_of(overlay):
    """Return what an overlay makes."""
    return objects_in(KUBERNETES / "overlays" / overlay)


def containers_of(overlay):
    """Give each container with its pod's template."""
    for _, template in pods_in(objects_of(overlay)):
        for container in template["spec"]["containers"]:
            yield template, container


def server_of(overlay):
    """Return the server's pods and its options."""
    objects = objects_of(overlay)
    ((_, template),) = [each for each in pods_in(objects) if each[0]["kind"] == "Deployment"]
    (container,) = template["spec"]["containers"]
    return template["spec"], container, parser().parse_args(command_line(container, objects))


def bytes_of(text):
    """Return how many bytes a quantity of Kubernetes is."""
    number, unit = re.fullmatch(r"(\d+)(Ki|Mi|Gi)", text).groups()
    return int(number) * {"Ki": 2**10, "Mi": MIB, "Gi": 2**30}[unit]


@overlays
def test_every_command_line_is_taken_by_the_program_that_it_calls(overlay):
    """An option that does not exist, or a variable that nobody sets, is a pod that never starts."""
    objects, called = objects_of(overlay), 0
    for _, template in pods_in(objects):
        for container in template["spec"]["containers"]:
            words = command_line(container, objects)
            if words[0] == PYTHON:
                assert words[1:3] == ["-m", "serving.batch"]
                batch._asked(words[3:])
            elif "slipway-train" in container["image"]:
                parse(words)
            else:
                sources_of(parser().parse_args(words).model)
            called += 1
    assert called == {"retrain": 4, "score": 2}.get(overlay, 1)


@overlays
def test_a_server_beyond_its_machine_asks_for_keys(overlay, tmp_path, monkeypatch):
    """The options are checked as at a start, with the Secret's files in place."""
    _, _, given = server_of(overlay)
    assert not given.no_auth
    for option in ("api_key_file", "feedback_key_file", "capture"):
        if getattr(given, option):
            path = tmp_path / Path(getattr(given, option)).name
            path.mkdir() if option == "capture" else path.write_text(f"{option.encode().hex():0<64}\n")
            setattr(given, option, str(path))
    settings_of(given)


@overlays
def test_a_pod_has_time_to_leave_the_balancer_and_to_finish(overlay):
    """Five seconds more than the server takes at most; and the balancer's probes see the delay."""
    pod, container, given = server_of(overlay)
    assert pod["terminationGracePeriodSeconds"] >= given.drain_delay + given.drain_seconds + 5
    probe = container["readinessProbe"]
    assert given.drain_delay >= 2 * probe["periodSeconds"] * probe["failureThreshold"]


@overlays
def test_requests_find_their_memory_below_the_limit(overlay):
    """The server refuses what is too much with 503; the kernel would kill it."""
    _, container, given = server_of(overlay)
    limit = bytes_of(container["resources"]["limits"]["memory"])
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]
    assert given.workers * given.memory_bytes + SERVER_MIB * MIB <= limit


@overlays
def test_pods_are_restricted(overlay):
    """As the Pod Security Standard has it, and a root that nobody writes to beside."""
    for template, container in containers_of(overlay):
        pod, own = template["spec"], container["securityContext"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert own == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    (namespace,) = of_kind(objects_of(overlay), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@overlays
def test_all_that_is_written_lies_on_a_volume(overlay):
    """On a root that nobody writes to: a folder that no volume has fails at the first write."""
    for template, container in containers_of(overlay):
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in template["spec"]["volumes"]}
        assert set(mounts.values()) == set(volumes)
        environment = environment_of_container(container, objects_of(overlay))
        words = command_line(container, objects_of(overlay))
        named = [word for word in words if word.startswith("/") and word not in (PYTHON, "/model")]
        for place in (*named, environment["HOME"], environment["TMPDIR"]):
            assert any(f"{place}/".startswith(f"{mount}/") for mount in mounts), place
        for volume in volumes.values():
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


@overlays
def test_what_selects_pods_finds_them(overlay):
    """A label that differs by a letter is a service without servers, or a rule that protects nobody."""
    objects = objects_of(overlay)
    pods = [template["metadata"]["labels"] for _, template in pods_in(objects)]
    for each in objects:
        spec = each.get("spec", {})
        chosen = {
            "Service": lambda spec: spec["selector"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "Deployment": lambda spec: spec["selector"]["matchLabels"],
        }.get(each["kind"])
        if chosen:
            wanted = chosen(spec).items()
            assert [labels for labels in pods if wanted <= labels.items()], each["metadata"]["name"]
    policed = [
        policy["spec"]["podSelector"]["matchLabels"].items() for policy in of_kind(objects, "NetworkPolicy")
    ]
    for labels in pods:
        assert any(wanted <= labels.items() for wanted in policed), labels


@overlays
def test_every_object_is_in_the_namespace_and_what_it_names_is_there(overlay):
    """Config maps, service accounts, ports, targets; secrets and tables are the user's."""
    objects = objects_of(overlay)
    names = {(each["kind"], each["metadata"]["name"]) for each in objects}
    assert {each["metadata"].get("namespace", "slipway") for each in objects} == {"slipway"}
    for _, template in pods_in(objects):
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in names
        for container in template["spec"]["containers"]:
            for source in container.get("envFrom", []):
                assert "secretRef" in source or ("ConfigMap", source["configMapRef"]["name"]) in names
    _, container, given = server_of(overlay)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"http": given.port, "grpc": given.grpc_port}
    (service,) = of_kind(objects, "Service")
    assert {each["targetPort"] for each in service["spec"]["ports"]} == set(ports)
    scalers = [*of_kind(objects, "HorizontalPodAutoscaler"), *of_kind(objects, "ScaledObject")]
    assert [each["spec"]["scaleTargetRef"]["name"] for each in scalers] == [
        "slipway"
    ]  # two would pull at one rope
    assert "replicas" not in of_kind(objects, "Deployment")[0]["spec"]


def test_prometheus_finds_the_service():
    """Its monitor chooses services by label, and their ports by name."""
    objects = objects_of("monitoring")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    (service,) = of_kind(objects, "Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {each["port"] for each in monitor["spec"]["endpoints"]} <= {
        each["name"] for each in service["spec"]["ports"]
    }


def questions():
    """Return the PromQL of alerts, dashboard and scaler."""
    objects = objects_of("monitoring")
    (rules,) = of_kind(objects, "PrometheusRule")
    (dashboard,) = [
        json.loads(each["data"]["slipway.json"])
        for each in of_kind(objects, "ConfigMap")
        if "slipway.json" in each["data"]
    ]
    (scaled,) = of_kind(objects_of("keda"), "ScaledObject")
    return [
        *(rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]),
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"]),
    ]


@pytest.mark.soak
def test_alerts_and_dashboard_ask_for_metrics_and_labels_that_a_server_has(store, flights, tmp_path):
    """A question about a name that does not exist is silent for ever, and so is its alarm."""
    row = {
        **{"month": 7, "weekday": 5, "hour": 17, "dep_delay": None, "carrier": "ZZ"},
        **{"origin": "EWR", "dest": "SFO", "distance": 2565, "date": "2013-07-05"},
    }
    models = ("--model", "line=models:/line@champion", "--model", f"flights={flights}")
    with serve(*models, "--capture", str(tmp_path / "captures")) as served:
        for sent in (row, row | {"dep_delay": 3}):
            status, answer, _ = served.call("/models/flights/predict", {"x": sent})
            assert status == 200, answer
        assert served.call("/models/line/predict", {"x": "three"})[0] == 400
        text = served.call("/metrics")[1]
    known = {}
    for name, labels in re.findall(r"^(slipway_\w+)(?:\{(.*?)\})? ", text, re.MULTILINE):
        known.setdefault(name, set()).update({*re.findall(r"(\w+)=\"", labels), "pod", "namespace"})
    asked = questions()
    assert len(asked) > 15
    for question in asked:
        assert unknown_labels(question, known) == [], question
    assert unknown_labels("sum by (model, x) (rate(slipway_rows_total[1m]))", known) == ["model", "x"]
    assert unknown_labels('max(slipway_state{stat="READY"})', known) == ["stat"]


def unknown_labels(question, known):
    """Return the labels by which metrics are chosen or grouped that are not theirs; each metric is known."""
    unknown = []
    for name, chosen in re.findall(r"(slipway_\w+)(?:\{(.*?)\})?", re.sub(r'"slipway"', '""', question)):
        unknown += sorted(set(re.findall(r"(\w+)[!=]~?=?\"", chosen)) - known[name])
    for match in re.finditer(r"by \((.*?)\) (?=\()", question):
        grouped = {each.strip() for each in match[1].split(",")}
        for name in re.findall(r"slipway_\w+", within_brackets(question[match.end() :])):
            unknown += sorted(grouped - known[name])
    return unknown


def within_brackets(text):
    """Return what stands between the bracket with which a text begins and its other one."""
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            return text[:place]
    raise AssertionError(text)


@pytest.mark.parametrize("overlay", ["retrain", "score"])
def test_a_job_that_found_mlflow_down_is_tried_again(overlay):
    """Its exit code is that of a mistake too: Kubernetes must not take the one for the other."""
    for each in objects_of(overlay):
        if each["kind"] in ("CronJob", "Job"):
            spec = each["spec"].get("jobTemplate", each)["spec"]
            assert spec.get("backoffLimit", spec.get("backoffLimitPerIndex")) == 2
            rules = spec.get("podFailurePolicy", {"rules": []})["rules"]
            assert all(rule["onExitCodes"]["values"] == [FOUND_SOMETHING] for rule in rules)


def test_the_kustomization_of_the_page_makes_what_it_says(tmp_path):
    """Beside a checkout called slipway; a name of an image that kustomize does not know changes nothing."""
    block, _ = written_from_page(tmp_path)
    objects, text = objects_in(tmp_path / "0"), rendered(tmp_path / "0")
    for image in yaml.safe_load(block).get("images", []):
        assert f"image: {image['newName']}:{image['newTag']}" in text
        assert f"image: {image['name']}:" not in text
    said = {
        key: value
        for each in of_kind(objects, "ConfigMap")
        for key, value in each["data"].items()
        if each["metadata"]["name"].startswith("slipway-options")
    }
    for made in yaml.safe_load(block).get("configMapGenerator", []):
        for line in made["literals"]:
            assert said[line.partition("=")[0]] == line.partition("=")[2]
    assert said["NAME"] == "houses"
    for _, template in pods_in(objects):
        for container in template["spec"]["containers"]:
            assert "flights" not in " ".join(command_line(container, objects))
    assert of_kind(objects, "PrometheusRule")


def test_the_secret_of_keys_is_made_by_the_command_that_the_page_shows(tmp_path):
    """Its name, and the name of the file in it, are those that the pod mounts."""
    (tmp_path / "keys.txt").write_text(f"{'0' * 64}\n")
    words = ["create", "secret", "generic", "slipway-keys", "--from-file=keys.txt"]
    secret = json.loads(kubectl(*words, "--dry-run=client", "-o", "json", folder=tmp_path))
    pod, _, given = server_of("follow-registry")
    (keys,) = [each for each in pod["volumes"] if each["name"] == "keys"]
    assert keys["secret"]["secretName"] == secret["metadata"]["name"]
    assert Path(given.api_key_file).name in secret["data"]
