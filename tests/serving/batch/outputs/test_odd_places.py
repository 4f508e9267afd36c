"""Outputs where nobody would look for one: links, names that are no text, the folder that is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data.errors import UnreadableSource
from data.sources import open_source
from serving.batch.outputs import check_output, folder_of, whole_file
from serving.batch.outputs.part_folder import ANY
from serving.errors import BadOutput


def test_a_link_to_a_file_stays_one(tmp_path: Path) -> None:
    """Who reads the file by its own name would have read the old one for ever."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "t.csv").write_text("old")
    (tmp_path / "t.csv").symlink_to(tmp_path / "there" / "t.csv")
    check_output(str(tmp_path / "t.csv"))
    with whole_file(str(tmp_path / "t.csv")) as partial:
        partial.write_text("new")
    assert (tmp_path / "t.csv").is_symlink()
    assert (tmp_path / "there" / "t.csv").read_text() == "new"


def test_a_link_to_no_folder_is_said_before_the_work(tmp_path: Path) -> None:
    """It was told as `File exists`, once all had been loaded."""
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(BadOutput, match="out is a link to what is not there: make that folder"):
        folder_of(f"{tmp_path}/out/").check("in.csv")


@pytest.mark.parametrize("read", [ANY, "part-00000-*.parquet"])
def test_a_part_is_not_scored_into_its_own_folder(read: str, tmp_path: Path) -> None:
    """What is read would be taken away in the end, since it is no part of what was asked."""
    for folder in (str(tmp_path), "s3://b/out"):
        with pytest.raises(BadOutput, match=f"{folder} (holds|is in) the input: write the parts to another"):
            folder_of(f"{folder}/").check(f"{folder}/{read}")


def test_a_name_that_is_no_text_is_said_in_one_line(tmp_path: Path) -> None:
    """A disk takes any bytes, and pyarrow opens no such file: it was a traceback."""
    odd = os.fsdecode(b"o\xff")
    for check in (
        lambda: check_output(f"{tmp_path}/{odd}.csv"),
        lambda: folder_of(f"{odd}/").check("in.csv"),
    ):
        with pytest.raises(BadOutput, match=r"o\\udcff.* is not UTF-8: name it otherwise"):
            check()
    Path(tmp_path, f"{odd}.csv").write_text("x\n1\n")
    for where in (tmp_path, tmp_path / f"{odd}.csv"):
        with pytest.raises(UnreadableSource, match=r"o\\udcff\.csv: its name is not UTF-8: rename it"):
            open_source(str(where))
