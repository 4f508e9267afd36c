"""Texts from a table where people look at them: MLflow's pages, spreadsheets, the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contracts import read
from data.errors import ContractError
from data.spreadsheets import without_formulas
from tests.conftest import Workspace
from tests.recorded import recorded
from training.pages.markdown import code, plain

IMAGE = "![p](http://127.0.0.1:1/pixel.png)"


@given(st.text(st.sampled_from("`a !\n[]()<"), max_size=12))
def test_code_ends_where_its_fence_does(text: str) -> None:
    """CommonMark: a span ends at the next run of as many backticks; a blank line would end it too."""
    written = code(text)
    fence = written[: len(written) - len(written.lstrip("`"))]
    inner = written[len(fence) : len(written) - len(fence)]
    if text.strip() and not text.strip().startswith("`"):
        assert fence not in inner
        assert "\n" not in inner


@pytest.mark.parametrize(
    "text",
    [
        IMAGE,
        "\\" + IMAGE,
        "[a](http://x)",
        "[a][b]",
        "<img src=x>",
        "\\<img src=http://x>",
        "[![p](x)](y)",
    ],
)
def test_no_image_link_or_tag_is_live(text: str) -> None:
    """Each opening is escaped, and a backslash that stood before it escapes nothing."""
    bare = plain(text).replace("\\\\", "")
    assert "![" not in bare
    assert "](" not in bare
    assert "][" not in bare
    assert "<" not in bare.replace("\\<", "")


def test_a_category_with_a_backtick_makes_no_tracking_pixel() -> None:
    """The registry's page would fetch it from whoever looks there."""
    assert code(f"x=`{IMAGE}") == f"``x=`{IMAGE}``"
    assert code(f"`{IMAGE}`") == f"`` `{IMAGE}` ``"
    recorded(
        "security",
        "a category that closes its code with a backtick and goes on as a Markdown image, in a version's description",
        "Fences it with more backticks than it has; escapes images, links and tags in all other texts",
        "Nothing is fetched when somebody looks at the registry",
    )


def test_a_table_for_people_holds_no_formula() -> None:
    """A spreadsheet runs what begins with =, and shows what begins with an apostrophe."""
    frame = pd.DataFrame({"=cmd|'/c calc'!A1": ["@SUM(1+1)", "plain", None], "n": [-1.0, 2.0, 3.0]})
    shown = without_formulas(frame)
    assert list(shown) == ["'=cmd|'/c calc'!A1", "n"]
    assert shown.iloc[:2, 0].tolist() == ["'@SUM(1+1)", "plain"]
    assert shown["n"].tolist() == [-1.0, 2.0, 3.0]
    assert frame.iloc[0, 0] == "@SUM(1+1)"


@pytest.mark.parametrize("content", ["[" * 20_000, "{a: " * 20_000, "- " * 20_000 + "x"])
def test_yaml_that_is_nested_too_deeply_is_refused_with_one_line(tmp_path: Path, content: str) -> None:
    """The parser calls itself for each bracket."""
    (tmp_path / "contract.yaml").write_text(content)
    with pytest.raises(ContractError) as caught:
        read(tmp_path / "contract.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["history", "rollback"])
def test_a_broken_database_is_one_line(workspace: Workspace, command: str) -> None:
    """Its first page is whole, so it opens; what it says stands in the line, all else in the log."""
    database = workspace.folder / "mlflow.db"
    content = bytearray(database.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    database.write_bytes(content)
    done = workspace.run(sys.executable, "-m", "training", command, "--name", "houses", timeout=300)
    assert done.returncode == 2, done.stderr
    assert "cannot be used: (sqlite3.DatabaseError) database disk image is malformed" in done.stderr
    assert len(done.stderr.splitlines()) == 1
