"""What pages, docstrings and comments name is there: a reader who follows a name must not end nowhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.mentions import Text, misplaced, pages, prose, started_as_files, unknown_code, unknown_files

PAGES = list(pages())
LINK = re.compile(r"\]\(([^)\s]+)\)")


@cache
def code() -> list[Text]:
    """What the code says: read by the process that asks, not by each that collects these tests."""
    return list(prose())


def all_of(found, texts: list[Text]) -> list[str]:
    """What is found in texts, each with where it stands."""
    return [f"{text.where}: {name}" for text in texts for name in found(text.said)]


def test_each_file_and_module_that_is_named_exists() -> None:
    """Modules are moved and renamed: pages sent their readers to modules, and comments to tests, that were gone."""
    assert all_of(unknown_files, PAGES + code()) == []


def test_each_name_of_code_in_a_docstring_exists() -> None:
    """A parameter that was renamed must not live on in what is said of it."""
    assert all_of(unknown_code, code()) == []


def test_what_is_said_to_be_in_a_file_is_in_it() -> None:
    """CONTRIBUTING answers where things are by a name and its file, and functions move."""
    assert all_of(misplaced, PAGES + code()) == []
    assert len(misplaced((ROOT / "CONTRIBUTING.md").read_text().replace("`decide`", "`decided`"))) == 1


def test_no_module_is_started_by_its_file() -> None:
    """By its path a module does not find the others and ends in an ImportError: it is started with -m."""
    assert all_of(started_as_files, PAGES + code()) == []


@pytest.mark.parametrize(
    "said",
    [
        "see serving/scorer/no_such.py",
        "data/nowhere holds it",
        "`tests/test_packaging.py` holds the two together",
        "the test test_no_such_thing.py",
        "as docs/no-such-page.md says",
        "read by data.inference",
        "(`training.records.registry.ledger.NoSuchClass`)",
        "`training.records.registry.ledger.Ledger.no_such_method`",
    ],
)
def test_a_made_up_file_or_module_is_found(said: str) -> None:
    """Else the tests above would hold whatever is written."""
    assert len(unknown_files(said)) == 1


def test_names_that_exist_and_names_of_others_pass() -> None:
    """A path, a folder, a bare file, a module, what it defines; MLflow's own modules; a file of the reader's."""
    ours = "serving/scorer, docs/serving.md, conftest.py, `training.records.registry.ledger`, data.schema.Schema."
    others = "mlflow.data.from_pandas, /path/to/data/x.csv, s3://data/x.parquet, run.data.params, data.csv"
    assert not unknown_files(f"{ours} {others}")


def test_a_made_up_name_of_code_is_found() -> None:
    """With an underscore, or as a class is written; put together here, or this file would have them."""
    made_up = ["_".join(("no", "such", "thing")), "".join(("No", "Such", "Thing"))]
    assert unknown_code(f"`{made_up[0]}` and `{made_up[1]}`, `Schema` and `model_spec`") == made_up


def test_a_module_that_is_started_by_its_file_is_found() -> None:
    """As a page had it."""
    assert started_as_files("python benchmarks/server.py --seconds 3")


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    lines = re.findall(r"^#+ (.*)", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize(
    "text", [text for text in PAGES if LINK.search(text.said)], ids=lambda text: text.where
)
def test_each_link_leads_somewhere(text: Text) -> None:
    """To a file that is there, and to a heading that it has."""
    for link in LINK.findall(text.said):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        page = (ROOT / text.where).parent / name if name else ROOT / text.where
        assert page.is_file(), link
        assert not anchor or anchor in headings(page), link


@pytest.mark.parametrize("package", ["data", "serving", "training"])
def test_the_readmes_tree_has_each_folder(package: str) -> None:
    """Who reads the tree must find what is there, and nothing else."""
    tree = (ROOT / "README.md").read_text().partition("## The tree")[2].split("```")[1]
    (below,) = re.findall(rf"^{package}/.*\n((?:  .*\n)+)", tree, flags=re.MULTILINE)
    listed = re.findall(r"(\w+)/", "\n".join(line[:24] for line in below.splitlines()))
    there = [path.parent.name for path in (ROOT / package).glob("*/__init__.py")]
    assert sorted(listed) == sorted(there)
