"""A folder of parts as a Delta table: each change is one commit, and each version has its rows once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from data.errors import OutOfReach, UnreadableSource
from data.sources import open_source, source
from serving.batch import Options, Work, engines, score_parts
from serving.batch.__main__ import main
from serving.batch.carried import Carried
from serving.batch.outputs import delta_table, folder_of
from serving.batch.upkeep import MANIFEST
from serving.errors import BadOutput
from tests.conftest import ROOT, missing_part
from tests.seaweed import Bucket
from tests.serving.batch.test_parted import ROWS, carried, flights, table, version

__all__ = ["carried", "version"]  # fixtures

try:
    import deltalake
except ImportError:
    missing_part("deltalake")

HTTP = {"AWS_ALLOW_HTTP": "true"}


@pytest.fixture(autouse=True)
def _some_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 30_000)


@pytest.fixture(params=["a disk", "a bucket"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that is not there yet."""
    return (
        str(tmp_path / "scored")
        if request.param == "a disk"
        else f"{request.getfixturevalue('s3').uri}/scored"
    )


def scored(read: Any, carried: Carried, there: str, options: Options | None = None) -> int | None:
    """Score a table into a Delta table; return its version."""
    read = read if not isinstance(read, (str, Path)) else open_source(str(read))
    facts = {"model": "m", "version": "1"}
    work = Work.on(folder_of(there), read, carried.scorer(), options or Options(), facts, delta=True)
    report = score_parts(work, engines.alone(carried))
    return report and report.table


def rows_of(there: str, version: int | None = None) -> pd.DataFrame:
    """What deltalake reads, in an order of its own."""
    found = deltalake.DeltaTable(there, version, storage_options=HTTP)
    rows = found.to_pyarrow_table().to_pandas()
    assert found.count() == len(rows)
    return rows.sort_values("note", ignore_index=True)


def test_each_change_is_one_version_and_none_is_made_twice(
    there: str, carried: Carried, tmp_path: Path
) -> None:
    """Readers of the newest one see its rows alone, and those of an earlier one what it was."""
    path = table(tmp_path, "jsonl")
    assert scored(path, carried, there) == scored(path, carried, there) == 0
    first = rows_of(there)
    assert len(first) == ROWS
    plain = open_source(there).read().to_pandas().sort_values("note", ignore_index=True)
    pd.testing.assert_frame_equal(first, plain, check_exact=True)
    flights(10).to_json(path / "-first.jsonl", orient="records", lines=True)
    assert scored(path, carried, there) == scored(path, carried, there) == 1
    assert len(rows_of(there)) == ROWS + 10
    (path / "0.jsonl").unlink()
    assert scored(path, carried, there, Options(explain=True)) == 2
    assert len(rows_of(there)) == len(open_source(there).read()) == 10 + ROWS // 2
    assert "base" in rows_of(there)
    assert scored(path, carried, there) == 3
    assert "base" not in rows_of(there)
    pd.testing.assert_frame_equal(rows_of(there, 0), first, check_exact=True)
    said = deltalake.DeltaTable(there, storage_options=HTTP).history()
    assert [each["slipway.digest"] for each in said] == [carried.digest] * 4
    with pytest.raises(
        BadOutput, match="is a Delta table, whose log would name parts that are gone: pass delta=true"
    ):
        Work.on(folder_of(there), open_source(str(path)), carried.scorer(), Options(), {})


def test_a_folder_that_was_written_before_becomes_a_table(carried: Carried, tmp_path: Path) -> None:
    """Its parts are left as they are."""
    path, folder = table(tmp_path), tmp_path / "scored"
    work = Work.on(folder_of(str(folder)), open_source(str(path)), carried.scorer(), Options(), {})
    score_parts(work, engines.alone(carried))
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert scored(path, carried, str(folder)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")} == times
    assert len(rows_of(str(folder))) == ROWS


def test_two_who_commit_at_once_make_one_version(
    there: str, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one finds that the table has its parts already, where the folder could not be held."""
    path, added, commit = table(tmp_path, "jsonl"), delta_table._added, delta_table._committed

    def beside_another(*words: Any) -> int:
        def other_first(*each: Any) -> Any:
            monkeypatch.setattr(delta_table, "_added", added)
            commit(*words)
            return added(*each)

        monkeypatch.setattr(delta_table, "_committed", commit)
        monkeypatch.setattr(delta_table, "_added", other_first)
        return commit(*words)

    for expected in (0, 1):
        monkeypatch.setattr(delta_table, "_committed", beside_another)
        assert scored(path, carried, there) == expected
        assert delta_table._added is added
        flights(10).to_json(path / "2.jsonl", orient="records", lines=True)
    assert len(deltalake.DeltaTable(there, storage_options=HTTP).history()) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from data.sources import open_source, source
from serving.batch import Options, Work, engines, parted, score_parts
from serving.batch.carried import Carried
from serving.batch.outputs import committed, folder_of
import serving.scorer.scoring
source.PART_BYTES = 30_000

def killed_before(*words):
    os.kill(os.getpid(), signal.SIGKILL)

def killed_after(*words):
    committed(*words)
    os.kill(os.getpid(), signal.SIGKILL)

parted.committed = {"before": killed_before, "after": killed_after}[sys.argv[4]]
carried = Carried.of(Path(sys.argv[1]))
work = Work.on(folder_of(sys.argv[3]), open_source(sys.argv[2]), carried.scorer(), Options(), {}, delta=True)
score_parts(work, engines.alone(carried))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_beside_the_commit_the_next_run_ends_with_one_version(
    when: str, version: Path, carried: Carried, tmp_path: Path
) -> None:
    """Before it the table is not there yet, or has its old rows; after it the manifest lacks, and nothing else."""
    path, there = table(tmp_path), str(tmp_path / "scored")
    words = [sys.executable, "-c", KILLED, str(version / "scorer"), str(path), there, when]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert deltalake.DeltaTable.is_deltatable(there) == (when == "after")
    assert not (Path(there) / MANIFEST).exists()
    assert scored(path, carried, there) == 0
    assert len(rows_of(there)) == ROWS
    assert (Path(there) / MANIFEST).exists()


def test_a_part_that_was_lost_is_the_tables_again(carried: Carried, tmp_path: Path) -> None:
    """With the same bytes there is nothing to commit; a file of another size is told to its readers."""
    path, folder = table(tmp_path), tmp_path / "scored"
    scored(path, carried, str(folder))
    lost = min(folder.glob("part-*"))
    whole = lost.read_bytes()
    lost.unlink()
    assert scored(path, carried, str(folder)) == 0
    assert lost.read_bytes() == whole
    rows, noted = pa_parquet.read_table(lost), pa_parquet.read_metadata(lost).metadata
    with pa_parquet.ParquetWriter(lost, rows.schema, compression="none") as other:
        other.write_table(rows)
        other.add_key_value_metadata(noted)
    assert scored(path, carried, str(folder)) == 1
    assert len(rows_of(str(folder))) == ROWS


def test_what_a_database_answers_is_a_new_version_each_time(carried: Carried, tmp_path: Path) -> None:
    """Nothing says whether its rows are those of before, and an earlier version's file may not change."""
    where = tmp_path / "rows.db"
    for count in (30, 20):
        with sqlite3.connect(where) as database:
            flights(count).to_sql("rows", database, if_exists="replace", index=False)
        database.close()
        read = open_source(f"sqlite:///{where}", query="select * from rows")
        scored(read, carried, str(tmp_path / "scored"))
    assert [len(rows_of(str(tmp_path / "scored"), each)) for each in (0, 1)] == [30, 20]


def test_times_come_into_a_table_that_had_none(carried: Carried, tmp_path: Path) -> None:
    """Deltalake commits such a change, and cannot read the table then."""
    path, there = tmp_path / "in.parquet", str(tmp_path / "scored")
    flights(20).to_parquet(path)
    scored(path, carried, there)
    more = flights(20).assign(day=pd.Timestamp("2026-11-29").as_unit("ms"), kind=pd.Categorical(["a"] * 20))
    more["small"] = pd.array([200] * 20, "uint8")
    more.to_parquet(path)
    scored(path, carried, there)
    found = rows_of(there)
    assert (found["day"] == pd.Timestamp("2026-11-29")).all()
    assert (found["kind"] == "a").all()
    assert (found["small"] == 200).all()


def test_columns_that_delta_lacks_are_refused_after_the_first_part(carried: Carried, tmp_path: Path) -> None:
    """In one line with their name, and not after an hour."""
    rows = pa.Table.from_pandas(flights())
    rows = rows.append_column("when", pa.array([1] * ROWS, pa.timestamp("ns")))
    pa_parquet.write_table(rows, tmp_path / "in.parquet", row_group_size=301)
    there = tmp_path / "scored"
    with pytest.raises(
        BadOutput, match=r"a Delta table cannot hold column 'when', which is timestamp\[ns\]: leave it"
    ):
        scored(tmp_path / "in.parquet", carried, str(there))
    assert len(list(there.iterdir())) == 1


def test_a_table_needs_its_library_and_a_folder(
    version: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are said before the work."""
    found = type("M", (), {"folder": version / "scorer", "version": "1"})
    monkeypatch.setattr("serving.batch.__main__.locate", lambda *_: found)
    words = ["--name", "m", "--input", str(table(tmp_path)), "--delta", "true", "--output"]
    assert main([*words, str(tmp_path / "x.parquet")]) == 2
    assert "is one file, and no Delta table: end it in /" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "deltalake", None)
    assert main([*words, f"{tmp_path}/x/"]) == 2
    assert "a Delta table needs deltalake: pip install '.[delta]'" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_what_the_library_cannot_write_is_one_line(carried: Carried, tmp_path: Path) -> None:
    """It has no names that differ by their capitals alone."""
    flights(20).assign(Note="x").to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(
        UnreadableSource, match=r"scored: cannot be written as Delta: .*case-insensitive.*: run the same"
    ):
        scored(tmp_path / "in.csv", carried, str(tmp_path / "scored"))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"partition_by": ["month"]}, "partitioned by month"),
        ({"configuration": {"delta.columnMapping.mode": "name"}}, "delta.columnMapping.mode name"),
        ({"configuration": {"delta.appendOnly": "true"}}, "delta.appendOnly true"),
        ({}, "delta.constraints.winter month > 10"),
    ],
)
def test_a_table_of_which_others_promised_something_is_refused_before_the_work(
    named: dict[str, Any], says: str, carried: Carried, tmp_path: Path
) -> None:
    """An empty one takes any files into its log: of a partitioned one the column was empty then, without a word."""
    there = str(tmp_path / "scored")
    made = deltalake.DeltaTable.create(there, pa.schema([("month", pa.int64()), ("y", pa.int64())]), **named)
    if not named:
        made.alter.add_constraint({"winter": "month > 10"})
    with pytest.raises(
        BadOutput, match=f"is a Delta table with {says}, which parts do not keep: name another"
    ):
        Work.on(
            folder_of(there), open_source(str(table(tmp_path))), carried.scorer(), Options(), {}, delta=True
        )
    deltalake.DeltaTable.create(str(tmp_path / "plain"), pa.schema([("y", pa.int64())]))
    assert scored(tmp_path / "in.csv", carried, str(tmp_path / "plain")) == 1
    assert len(rows_of(str(tmp_path / "plain"))) == ROWS


def test_the_keys_of_a_profile_are_found_beside_an_endpoint(
    s3: Bucket, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts were written with them for an hour, and the library that commits them asked for none."""
    keys = "\n".join(
        f"aws_{name} = {taken_out(monkeypatch, name)}" for name in ("access_key_id", "secret_access_key")
    )
    (tmp_path / "credentials").write_text(f"[of-tests]\n{keys}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "of-tests")
    assert scored(table(tmp_path), carried, f"{s3.uri}/scored") == 0
    assert len(open_source(f"{s3.uri}/scored").read()) == ROWS


def taken_out(monkeypatch: pytest.MonkeyPatch, name: str) -> str:
    """Take a key out of the environment."""
    said = os.environ[f"AWS_{name.upper()}"]
    monkeypatch.delenv(f"AWS_{name.upper()}")
    return said


def test_a_store_that_refuses_the_library_is_told_before_the_work(
    s3: Bucket, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reasons are trees of lines, of which the last says what is wrong."""
    read, folder = open_source(str(table(tmp_path))), folder_of(f"{s3.uri}/scored")
    monkeypatch.setattr(type(folder), "names", lambda _: [])  # what asks before it would be told first
    monkeypatch.setattr(type(folder), "check", lambda *_: None)
    for name, value, says in (
        ("AWS_SECRET_ACCESS_KEY", "hunter22hunter22", "is refused to whoever the environment says is asking"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "the store does not answer"),
    ):
        monkeypatch.setenv(name, value)
        with pytest.raises(OutOfReach, match=rf"^{s3.uri}/scored: {says}"):
            Work.on(folder, read, carried.scorer(), Options(), {}, delta=True)
