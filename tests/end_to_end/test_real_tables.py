"""Any table as downloaded is trained, scored and served, or one line says what to change.

The tables are small ones in the dialects of real downloads. With TABLES=/path/to/downloads, `make soak` takes the
real ones of the same names too.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from data.checks import check_table
from data.errors import DataError
from data.sources import open_source
from data.splits import SplitRule, split_table
from data.tables import load_table
from serving.batch.__main__ import main as score
from tests.conftest import Workspace
from tests.serving.conftest import serve
from tests.tables import DOWNLOADS, ODD, Download, Nasty, nasty_tables, write
from training.__main__ import main

SENT = 20
FOLDER = os.environ.get("TABLES", "")
REAL = [each for each in DOWNLOADS if FOLDER and (Path(FOLDER) / each.file).is_file()]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own for each test's servers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train(path: Path, download: Download, *words: str) -> int:
    """Train in this process with few settings."""
    said = ["--data", str(path), "--target", download.target, "--name", "m", *download.words, *words]
    return main(["train", *said])


def as_sent(download: Download, content: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the first rows as a client sends them: the cells as they stand in the file."""
    if download.file.endswith(".json"):
        records = json.loads(content)[:SENT]
        return json.dumps({"dataframe_records": records}).encode(), {"Content-Type": "application/json"}
    header, rows = download.cells(content)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows[:SENT]])
    return text.getvalue().encode(), {"Content-Type": "text/csv"}


def goes_all_the_way(path: Path, download: Download, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    """Train, score the same file and serve: as many rows as the file has, and one prediction for each."""
    content = path.read_bytes()
    rows = len(download.cells(content)[1])
    assert train(path, download, *words) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert re.search(rf"^  read +{rows:,} rows", said, flags=re.MULTILINE), said
    assert "promoted: m had no champion" in said
    output = path.with_name("scored.csv")
    assert score(["--name", "m", "--input", str(path), "--output", str(output)]) == 0, capsys.readouterr().err
    predictions = pd.read_csv(output)["prediction"].to_numpy()
    assert len(predictions) == rows
    assert np.isfinite(predictions).all()
    with serve("--model", "models:/m@champion") as served:
        body, headers = as_sent(download, content)
        status, answer, _ = served.call("/invocations", body, headers=headers)
    assert status == 200, answer
    np.testing.assert_allclose(answer["predictions"], predictions[: min(SENT, rows)], rtol=1e-12)


@pytest.mark.parametrize("download", ODD[2:3], ids=lambda each: each.file)
def test_a_table_as_downloaded_is_trained_scored_and_served(
    download: Download, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Currency with thousands marks, and units."""
    goes_all_the_way(write(download, tracking.folder), download, capsys, "--trials", "1")


@pytest.mark.soak
@pytest.mark.parametrize("download", [*ODD[:2], *ODD[3:]], ids=lambda each: each.file)
def test_the_other_dialects_go_all_the_way_too(
    download: Download, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """An index without a name, no header, thousands marks, decimal commas and a missing word, objects, nothing odd."""
    goes_all_the_way(write(download, tracking.folder), download, capsys, "--trials", "1")


@pytest.mark.soak
@pytest.mark.parametrize("download", REAL, ids=lambda each: each.file)
def test_the_real_downloads_go_all_the_way(
    download: Download, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The files themselves, where a folder of them is named."""
    path = tracking.folder / download.file
    path.write_bytes((Path(FOLDER) / download.file).read_bytes())
    goes_all_the_way(path, download, capsys, "--time_budget", "10")


@pytest.mark.parametrize("download", DOWNLOADS, ids=lambda each: each.file)
def test_the_small_tables_are_checked_without_a_refusal(
    download: Download, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faults are named, and nothing stops; `check` takes the same words as the training."""
    path = write(download, tracking.folder)
    said = ["check", "--data", str(path), "--target", download.target, *download.words]
    assert main(said) == 0, capsys.readouterr().err


def is_short(said: str) -> bool:
    """Whether a person gets one line, or one for each fault below their number."""
    first, *others = said.strip().splitlines()
    counted = re.search(r": (\d+) faults$", first)
    return len(others) == (int(counted[1]) if counted else 0) and all(
        line.startswith("  ") for line in others
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=nasty_tables())
def test_no_row_of_a_nasty_table_is_lost_without_a_word(made: Nasty, tmp_path: Path) -> None:
    """As many rows as were written, or one line: whatever the dialect, the names, the kinds, the gaps."""
    path = tmp_path / "t.csv"
    path.write_bytes(made.content)
    try:
        table = load_table(open_source(str(path)))
        assert len(table) == len(made.rows)
        checked = check_table(table, target=made.target)
        split_table(checked.table, SplitRule("hash", tuple(checked.features), salt="t"))
    except DataError as error:
        assert is_short(str(error))


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:Glyph")  # a name in a script that matplotlib's own font lacks
@settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],  # to shrink one takes a training for each step
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(made=nasty_tables())
def test_a_nasty_table_trains_or_gets_one_line(
    made: Nasty, tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never an internal error, never more than a line for each fault, never a version beside a refusal."""
    path = tracking.folder / "t.csv"
    path.write_bytes(made.content)
    capsys.readouterr()
    done = main(["train", "--data", str(path), "--target", "target", "--trials", "1", "--time_budget", "3"])
    said = capsys.readouterr()
    assert done in (0, 2), said.err
    assert "internal error" not in said.err
    if done == 2:
        assert is_short(said.err), said.err
