"""The pages as a site: each has its place, and what is said of the Python names is what their docstrings say."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

DOCS = ROOT / "docs"


def named(entry: object) -> list[str]:
    """The files that a part of the menu names."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [file for part in parts for file in named(part)]


def test_each_page_stands_once_in_the_menu() -> None:
    """A page that nothing leads to is not read."""
    menu = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert sorted(named(menu)) == sorted(there)


def test_the_page_of_python_names_is_written_from_their_docstrings() -> None:
    """`make docs` writes it; somebody changed a docstring and did not."""
    written = runpy.run_path(str(ROOT / ".ci" / "api_page.py"))
    assert written["page"]() == (DOCS / "api.md").read_text(encoding="utf-8")


@pytest.mark.soak
def test_the_site_is_built_and_each_link_in_it_leads_somewhere(tmp_path: Path) -> None:
    """As `make docs` builds it; a link to a page or a heading that is not there ends it."""
    made = subprocess.run(["make", "-n", "docs"], cwd=ROOT, capture_output=True, text=True, check=True)
    (build,) = [line for line in made.stdout.splitlines() if "zensical" in line]
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    shutil.copytree(DOCS, tmp_path / "docs")
    done = subprocess.run(["bash", "-c", build], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {page.name for page in (tmp_path / "build" / "site").glob("*.html")}
    assert {"index.html", "tutorial.html", "api.html"} <= pages
