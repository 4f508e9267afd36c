"""What holds the house together: import arrows, pins, entry points, help texts."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

PACKAGES = ("data", "serving", "training")
ALLOWED = {"data": {"data"}, "serving": {"serving", "data"}, "training": {"training", "serving", "data"}}
MLFLOW_MODULES = {
    "training/tracking.py",
    "training/places.py",
    "training/registry.py",
    "training/ledger.py",
    "training/flavor.py",
    "training/stock.py",
    "serving/registry/given_run.py",
    "serving/registry/store.py",
    "serving/runtimes/pyfunc_process.py",
}


def modules() -> list[Path]:
    """All modules of the three packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path, *, at_run_time: bool = True) -> set[str]:
    """The top-level names that a module imports, wherever in it; type-only imports may be left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if at_run_time and id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the arrow"
            found.add(str(node.module).split(".")[0])
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    """Training -> serving -> data: serving can be read, and installed, without training."""
    ours = imported(path, at_run_time=False) & set(PACKAGES)
    assert ours <= ALLOWED[path.relative_to(ROOT).parts[0]]


def test_mlflow_is_imported_in_few_places() -> None:
    """The rest can be tested, and read, without a tracking store."""
    found = {
        str(path.relative_to(ROOT)) for path in modules() if "mlflow" in imported(path, at_run_time=False)
    }
    assert found == MLFLOW_MODULES


def test_the_shipped_transformers_need_nothing_of_ours() -> None:
    """They travel inside each version, to where Slipway is not installed."""
    assert not imported(ROOT / "training" / "transformers.py") & set(PACKAGES)
    assert not imported(ROOT / "training" / "__init__.py") & set(PACKAGES)


def test_the_pins_of_conda_and_pyproject_agree() -> None:
    """`mlflow run` installs the one, `make` the other."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    assert environment[-1]["pip"] == project["dependencies"]
    assert "python=3.11" in environment


def test_the_entry_points_pass_every_parameter_on() -> None:
    """A parameter that is declared and not used would be swallowed silently."""
    for name, entry in yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"].items():
        for parameter in entry["parameters"]:
            assert f"{{{parameter}}}" in entry["command"], f"{name}: {parameter}"


@pytest.mark.parametrize(
    "command",
    [
        ["training"],
        ["training", "train"],
        ["training", "adopt"],
        ["training", "check"],
        ["training", "promote"],
        ["training", "reproduce"],
        ["training", "rollback"],
        ["training", "history"],
        ["serving.batch"],
        ["serving.tryout"],
        ["data"],
    ],
)
def test_every_help_text_is_printed_quickly_and_without_mlflow(command: list[str]) -> None:
    """Who asks for help must not wait three seconds."""
    words = [sys.executable, "-X", "importtime", "-m", *command, "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
    assert "| mlflow\n" not in done.stderr


@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:DeprecationWarning")
def test_the_samples_are_what_their_makers_write(tmp_path: Path) -> None:
    """Byte for byte: the README's claim."""
    from data import samples

    for name in samples.MAKERS:
        path, _ = samples.write(name, everything=False, output=tmp_path / f"{name}.csv")
        assert path.read_bytes() == (ROOT / "data" / "samples" / f"{name}.csv").read_bytes()
