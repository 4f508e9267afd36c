"""What the code imports is what pyproject.toml asks for."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache

import pytest

from tests.conftest import ROOT
from tests.imports import tree_of

OURS = {"data", "serving", "training", "slipway", "benchmarks", "tests"}
IMPORTED_AS = {
    "google": "protobuf",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow-cpu",
    "yaml": "pyyaml",
}
"""Packages whose modules have other names than they."""


def declared(*extras: str) -> set[str]:
    """Return the packages that an installation with these extras asks for by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    parts = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    lines = [line for part in parts for line in part]
    return {re.split(r"[\[<>=]", line)[0] for line in lines}


@cache
def imported(folder: str) -> dict[str, str]:
    """Return each package of others that a folder's modules import, wherever in them, with one such module."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            for name in names_in(node) - OURS - set(sys.stdlib_module_names):
                found[IMPORTED_AS.get(name, name.replace("_", "-"))] = str(path.relative_to(ROOT))
    return found


def names_in(node: ast.AST) -> set[str]:
    """Return the top-level names that a statement imports."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {str(node.module).split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


@pytest.mark.parametrize("folder", ["data", "serving", "training"])
def test_what_the_packages_import_is_declared_for_their_users(folder: str) -> None:
    """What another package happens to bring can leave with its next release."""
    users = declared(
        "postgres", "grpc", "excel", "delta", "iceberg", "tensorflow", "jwt", "sign", "dask", "spark"
    )
    assert {name: path for name, path in imported(folder).items() if name not in users} == {}


def test_what_the_benchmarks_import_is_declared() -> None:
    """`make bench` installs the extras dev and bench, and dev asks for grpc; Spark has its own."""
    asked = declared("grpc", "dev", "bench", "jwt", "sign", "spark")
    assert {name: path for name, path in imported("benchmarks").items() if name not in asked} == {}


def test_the_imports_are_seen() -> None:
    """Else the tests above would hold with nothing found."""
    assert {"numpy", "scipy", "joblib", "requests", "protobuf", "keras", "scikit-learn"} <= {
        name for folder in ("serving", "training") for name in imported(folder)
    }


def test_what_starts_no_processes_is_a_unit_test(request: pytest.FixtureRequest) -> None:
    """So that CI runs it on each Python; this module reads files alone."""
    assert not request.node.get_closest_marker("starts")
