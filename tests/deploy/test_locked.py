"""What images install is locked, hashed, and what pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
ASKED = {
    "serve": PROJECT["dependency-groups"]["serve"],
    "mlflow": PROJECT["dependency-groups"]["mlflow"],
    "train": PROJECT["project"]["dependencies"] + EXTRAS["postgres"] + EXTRAS["grpc"] + EXTRAS["excel"],
}
LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>\S+) \\\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
)


def locked(image: str) -> dict[str, str]:
    """Return the version of each package that an image installs; all lines but comments are such."""
    text = (ROOT / "deploy" / "images" / f"{image}.txt").read_text()
    assert re.sub(r"#.*\n", "", LINE.sub("", text)) == ""
    return {canonicalize_name(each["name"]): each["version"] for each in LINE.finditer(text)}


@pytest.mark.parametrize("image", ASKED)
def test_what_is_locked_satisfies_what_pyproject_asks_for(image: str) -> None:
    """After a change of a range: `make lock`."""
    versions = locked(image)
    for line in ASKED[image]:
        asked = Requirement(line)
        assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), line


def test_the_servers_group_asks_for_what_the_project_asks_for() -> None:
    """In the same ranges, MLflow's small distribution in place of the whole."""
    known = {asked.name: asked.specifier for asked in map(Requirement, ASKED["train"])}
    for line in ASKED["serve"]:
        asked = Requirement(line)
        assert asked.specifier == known[asked.name.removesuffix("-skinny")], line


def test_the_server_is_locked_without_what_trains() -> None:
    """Each of these would come back as a dependency of another without a word."""
    assert not {"mlflow", "scikit-learn", "pandas", "scipy", "matplotlib", "optuna", "skops"} & set(
        locked("serve")
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "deploy" / "images").glob("*-imports.txt")), ids=lambda path: path.name
)
def test_what_an_image_compiles_for_its_start_is_there(path: Path) -> None:
    """A module that was moved fails in the build of the image alone, minutes later."""
    assert [name for name in path.read_text().split() if not find_spec(name)] == []
