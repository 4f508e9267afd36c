"""Commands in pages and in what the program says run as they are printed."""

from __future__ import annotations

import argparse
import re

import pytest
import yaml

from serving.options import parser
from tests.conftest import ROOT
from training.commands.parser import build_parser

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path
    for package in ("data", "serving", "training", "slipway")
    for path in sorted((ROOT / package).rglob("*.py"))
]


@pytest.mark.parametrize("path", [*PAGES, *SOURCES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_command_leaves_the_environment_to_conda(path) -> None:
    """Without the flag MLflow looks for conda, and a run stays RUNNING for ever."""
    bare = re.findall(r"mlflow run \S+ -(?!-env-manager)[^`\n]*", path.read_text(encoding="utf-8"))
    assert not bare


def test_the_ui_and_the_server_have_ports_of_their_own() -> None:
    """The README lists both, one under the other."""
    makefile = (ROOT / "Makefile").read_text()
    ports = dict(re.findall(r"^(\w*PORT) \?= (\d+)", makefile, flags=re.MULTILINE))
    assert ports["PORT"] != ports["UI_PORT"]
    assert f"127.0.0.1:{ports['PORT']}/invocations" in (ROOT / "README.md").read_text()


def test_the_servers_help_says_what_each_option_does_and_its_default() -> None:
    """`--host`, `--workers` and others had neither."""
    options = [action for action in parser()._actions if action.option_strings and action.dest != "help"]
    assert all(action.help for action in options)
    told = " ".join(parser().format_help().split())
    for action in options:
        if action.default and action.default != "==SUPPRESS==":
            assert f"({action.default})" in told, action.dest


OF_OTHERS = {"--env-manager", "--experiment-name", "--http2", "--serve-artifacts", "--no-serve-artifacts"}
"""Options of mlflow and curl."""


def test_each_option_of_the_server_is_in_its_pages() -> None:
    """`--workers` and `--threads` were in no page."""
    page = "".join((ROOT / "docs" / name).read_text() for name in ("serving.md", "access.md"))
    options = [action.option_strings[0] for action in parser()._actions if action.dest != "help"]
    assert [option for option in options if not re.search(rf"{option}(?![\w-])", page)] == []


def test_extras_are_installed_from_the_folder() -> None:
    """The package is on no index: `pip install 'slipway[dask]'` would install whatever has the name there."""
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in [*PAGES, *SOURCES]}
    assert [name for name, text in texts.items() if "install 'slipway" in text] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_option_that_a_page_names_exists(path) -> None:
    """In backticks; commands in blocks are run."""
    ours = {word for kind in (parser(), build_parser()) for word in words_of(kind)}
    named = set(re.findall(r"`(--[a-z][a-z_-]+)", path.read_text(encoding="utf-8")))
    assert named - ours - OF_OTHERS == set()


def words_of(kind: argparse.ArgumentParser) -> set[str]:
    """The options of a parser and of the commands below it."""
    below = [action.choices for action in kind._actions if isinstance(action, argparse._SubParsersAction)]
    inner = [words_of(each) for choices in below for each in choices.values()]
    return set(kind._option_string_actions).union(*inner)


def test_each_entry_point_and_each_parameter_of_the_main_one_is_in_the_page_of_commands() -> None:
    """Who trains has no other list."""
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    page = (ROOT / "docs" / "commands.md").read_text()
    names = [*entries, *entries["main"]["parameters"]]
    assert [name for name in names if f"`{name}`" not in page] == []
