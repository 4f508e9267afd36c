"""Which Python `make` takes, and that it is one of those that Slipway is tried on."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

VERSIONS = ["3.11", "3.12", "3.13"]
PRETENDER = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
-c*) echo {version} ;;
-V*) echo Python {version}.0 ;;
*) echo "{version} installs $3" ;;
esac
"""
"""What the scripts ask of a Python, as if it were of some version."""


def pretend(path: Path, version: str) -> Path:
    """Write a command that takes itself for a Python."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PRETENDER.format(version=version))
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The scripts and what they read, in a folder of their own."""
    shutil.copytree(ROOT / ".ci", tmp_path / "project" / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "project")
    return tmp_path / "project"


def run(project: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a machine that has these tests' commands alone."""
    tools = project.parent / "tools"  # what the scripts need of a machine, its Pythons left out
    tools.mkdir(exist_ok=True)
    for name in ("sh", "mkdir", "cp", "touch"):
        (tools / name).unlink(missing_ok=True)
        (tools / name).symlink_to(str(shutil.which(name)))
    path = os.pathsep.join([str(project.parent / "first"), str(project.parent / "second"), str(tools)])
    environment = {"PATH": path, "HOME": str(project.parent / "home")}
    return subprocess.run(
        [str(project / ".ci" / script), *words],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_files_agree_on_the_pythons() -> None:
    """Ruff holds the code to the lowest; mypy reads it as the Python that runs it, under each that CI has."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["project"]["requires-python"] == ">=3.11,<3.14"
    assert settings["tool"]["ruff"]["target-version"] == "py311"
    assert (
        "python_version" not in settings["tool"]["mypy"]
    )  # numpy's types are written for the Python they came with
    (python,) = [
        line
        for line in yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
        if str(line).startswith("python=")
    ]
    assert python.removeprefix("python=") in VERSIONS
    (listed,) = re.findall(r'^versions="(.*?)"', (ROOT / ".ci" / "python").read_text(), flags=re.MULTILINE)
    assert listed.split() == VERSIONS[::-1]
    for page in ("README.md", "Makefile", ".ci/python"):
        assert "Python 3.11, 3.12 or 3.13" in (ROOT / page).read_text(), page


def test_the_newest_is_found_and_those_that_are_too_new_are_not(project: Path) -> None:
    """Wherever it stands on the path."""
    for version in ("3.10", "3.11", "3.12", "3.14"):
        pretend(project.parent / "second" / f"python{version}", version)
    assert run(project, "python").stdout == f"{project.parent}/second/python3.12\n"
    assert run(project, "python", "3.11").stdout == f"{project.parent}/second/python3.11\n"


def test_a_shim_that_leads_nowhere_is_passed_over(project: Path) -> None:
    """There is a python3.13 on the path for each that pyenv installed, and the chosen one alone runs."""
    shim = pretend(project.parent / "first" / "python3.13", "")
    shim.write_text('#!/bin/sh\necho "pyenv: python3.13: command not found" >&2\nexit 127\n')
    pretend(project.parent / "first" / "python3.12", "3.12")
    assert run(project, "python").stdout == f"{project.parent}/first/python3.12\n"
    installed = pretend(project.parent / "home/.pyenv/versions/3.13.1/bin/python3.13", "3.13")
    assert run(project, "python").stdout == f"{installed}\n"


@pytest.mark.parametrize("words", [[], ["3.12"], ["3.10"], ["{}/first/python3.10"], ["python3.9"]])
def test_where_there_is_none_one_line_says_what_is_needed(words: list[str], project: Path) -> None:
    """`make run` is the first thing that a person tries."""
    pretend(project.parent / "first" / "python3.10", "3.10")
    done = run(project, "python", *(word.format(project.parent) for word in words))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("slipway needs Python 3.11, 3.12 or 3.13 with venv")
    assert "make PYTHON=/path/to/python3.13" in line
    assert all(word.format(project.parent).removeprefix("python") in line for word in words)


def test_a_new_environment_gets_the_newest_and_keeps_it(project: Path) -> None:
    """A Python that is installed later must not be put under packages that were made for another."""
    pretend(project.parent / "first" / "python3.11", "3.11")
    assert run(project, "environment", ".venv", "dev").stdout.endswith("3.11 installs dev\n")
    assert run(project, "environment", ".venv", "dev").stdout == ""
    pretend(project.parent / "first" / "python3.13", "3.13")
    assert run(project, "environment", ".venv", "dev").stdout == ""
    os.utime(project / "pyproject.toml", (2**33, 2**33))
    assert run(project, "environment", ".venv", "dev").stdout == "3.11 installs dev\n"


def test_an_environment_of_another_python_than_the_named_one_is_made_anew(project: Path) -> None:
    """And one whose Python was taken from the machine, on the newest."""
    for version in ("3.11", "3.12"):
        pretend(project.parent / "first" / f"python{version}", version)
    run(project, "environment", ".venv", "dev")
    (project / ".venv" / "of the old one").touch()
    named = str(project.parent / "first" / "python3.11")
    told = run(project, "environment", ".venv", "dev", named)
    assert told.stdout.startswith("  install   .venv on Python 3.11 "), told.stderr
    assert told.stdout.endswith("3.11 installs dev\n")
    (project / ".venv/bin/python").write_text("#!/bin/sh\nexit 127\n")
    assert run(project, "environment", ".venv", "dev").stdout.endswith("3.12 installs dev\n")


def test_nothing_is_made_where_the_named_python_is_none(project: Path) -> None:
    """An environment that works is not touched by a slip of the finger."""
    pretend(project.parent / "first" / "python3.11", "3.11")
    run(project, "environment", ".venv", "dev")
    done = run(project, "environment", ".venv", "dev", "python3.9")
    assert (done.returncode, done.stdout) == (1, "")
    assert run(project, "environment", ".venv", "dev").stdout == ""


@pytest.mark.parametrize("uv_works", [True, False])
def test_where_uv_cannot_install_pip_does(uv_works: bool, tmp_path: Path) -> None:
    """The first is told which index pip is told to use: a company has its own for a reason."""
    calls, commands = tmp_path / "calls", tmp_path / "venv" / "bin"
    commands.mkdir(parents=True)
    for name, code in (("python", 0), ("uv", int(not uv_works))):
        answer = (
            "case \"$*\" in *'config list') echo \"global.index-url='https://ours.example/simple'\" ;; esac"
        )
        (commands / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n{answer}\nexit {code}\n')
        (commands / name).chmod(0o755)
    done = subprocess.run(
        [sys.executable, ".ci/install.py", str(commands.parent), "dev"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    _, _, by_uv, *rest = calls.read_text().splitlines()
    assert by_uv.startswith("uv pip install")
    assert "--default-index https://ours.example/simple" in by_uv
    assert by_uv.endswith("--editable .[dev]")
    assert [words.startswith("python -m pip") for words in rest] == ([] if uv_works else [True])


def test_uv_is_of_the_releases_that_the_project_takes() -> None:
    """It is installed before the requirements are read."""
    assert f'"{runpy.run_path(str(ROOT / ".ci/install.py"))["UV"]}"' in (ROOT / "pyproject.toml").read_text()


def test_what_starts_processes_is_no_unit_test(request: pytest.FixtureRequest) -> None:
    """CI has no time for them on each Python, and this module does start some."""
    assert request.node.get_closest_marker("starts")
