"""Commands in pages and in what the program says run as they are printed."""

from __future__ import annotations

import re

import pytest

from serving.__main__ import parser
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    path for package in ("data", "serving", "training") for path in sorted((ROOT / package).rglob("*.py"))
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
