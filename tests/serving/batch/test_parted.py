"""A table in parts: the same rows and bits as in one file, whoever wrote which part and however often it was killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pa_parquet
import pytest

from data.sources import open_source, source
from serving.batch import Options, Work, engines, parted, score_file, score_parts
from serving.batch.__main__ import main
from serving.batch.carried import Carried
from serving.batch.outputs import TableFile, disk_folder, folder_of
from serving.batch.upkeep import MANIFEST
from serving.errors import BadOutput, FaultyRows, WorkersLost
from serving.scorer import Scorer
from tests.conftest import ROOT

FEATURES = ["month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest"]
ROWS = 1_003
PLAIN = Options()


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ridge on the flights sample: five numbers, so that its products read every second row otherwise."""
    from benchmarks.models import build

    folder = tmp_path_factory.mktemp("parted")
    return build(folder, sample="flights", target="arr_delay", family="ridge", features=FEATURES)


@pytest.fixture(scope="module")
def carried(version: Path) -> Carried:
    """What every process gets."""
    return Carried.of(version / "scorer")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 8_000)


def flights(rows: int = ROWS) -> pd.DataFrame:
    """Flights with notes that hold line breaks and quotes: no part may begin within one."""
    frame = pd.read_csv(ROOT / "data" / "samples" / "flights.csv").head(rows)
    frame["note"] = [f'row {row},\n"as is"' if row % 7 == 0 else f"{row}" for row in range(rows)]
    return frame


def table(folder: Path, ending: str = "csv") -> Path:
    """Write them, in two files where there is no other way to have two parts."""
    path = folder / f"in.{ending}"
    if ending == "csv":
        flights().to_csv(path, index=False)
    elif ending == "parquet":
        flights().to_parquet(path, index=False, row_group_size=301)
    else:
        path = folder / "in"
        path.mkdir()
        for half, rows in enumerate(np.array_split(np.arange(ROWS), 2)):
            flights().iloc[rows].to_json(path / f"{half}.{ending}", orient="records", lines=True)
    return path


def work_on(path: Path | str, carried: Carried, folder: Path | str, options: Options = PLAIN) -> Work:
    """Divide a table."""
    to, source = folder_of(str(folder)), open_source(str(path))
    return Work.on(to, source, carried.scorer(), options, {"model": "m", "version": "1"})


def scored(path: Path | str, carried: Carried, folder: Path | str, **named: tuple[int, int]) -> list[str]:
    """Score a table into a folder; return the parts that were written."""
    written = []

    def engine(work: Work, lacking: list[int]):
        written.extend(work.names[index] for index in lacking)
        return engines.alone(carried)(work, lacking)

    score_parts(work_on(path, carried, folder), engine, **named)
    return written


def contents(folder: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_a_folder_of_parts_is_read_as_it_is_and_equals_one_file(
    ending: str, carried: Carried, tmp_path: Path
) -> None:
    """By pandas, pyarrow and DuckDB: the same rows in the same order, and the same bits."""
    path, folder = table(tmp_path, ending), tmp_path / "out"
    assert len(scored(path, carried, folder)) > 1
    score_file(carried.scorer(), open_source(str(path)), tmp_path / "one.parquet")
    one = pd.read_parquet(tmp_path / "one.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(folder), one, check_exact=True)
    pd.testing.assert_frame_equal(pa_dataset.dataset(folder).to_table().to_pandas(), one, check_exact=True)
    rows = duckdb.sql(
        f"select prediction, note from '{folder}/*.parquet' order by filename, file_row_number"
    ).fetchall()
    assert rows == list(zip(one["prediction"], one["note"], strict=True))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("step", [1, 2, 3, 8, 31, 500])
def test_a_row_has_the_same_bits_in_any_batch(step: int, threads: int, version: Path) -> None:
    """A part begins where it happens to: at an odd row a product of five numbers is added in another order."""
    scorer = Scorer.load(version / "scorer", threads=threads, same_bits=True)
    matrix = np.resize(scorer.golden.matrix, (1_000, scorer.golden.matrix.shape[1]))
    matrix[:, 0] += np.arange(1_000) / 7
    whole = scorer.predict(np.concatenate([matrix] * 9))[: len(matrix)]
    for first in (0, 1):
        pieces = [scorer.predict(matrix[start : start + step]) for start in range(first, 1_000, step)]
        assert (np.concatenate(pieces) == whole[first:]).all()


def test_a_second_run_does_only_what_lacks(carried: Carried, tmp_path: Path) -> None:
    """And a third one, on a folder that is whole, nothing at all; the bytes are those of the first."""
    path, folder = table(tmp_path), tmp_path / "out"
    names = scored(path, carried, folder)
    before = contents(folder)
    (folder / names[1]).unlink()
    (folder / names[2]).write_bytes(before[names[2]][:-20])
    assert scored(path, carried, folder) == names[1:3]
    assert contents(folder) == before
    assert scored(path, carried, folder) == []


def test_what_changed_is_scored_anew_and_nothing_stays_of_what_it_was(
    carried: Carried, tmp_path: Path
) -> None:
    """Rows twice are worse than none. Another file in front of the others moves their parts, and no more."""
    path, folder = table(tmp_path, "jsonl"), tmp_path / "out"
    names = scored(path, carried, folder)
    flights(10).to_json(path / "-first.jsonl", orient="records", lines=True)
    assert len(scored(path, carried, folder)) == 1
    assert len(pd.read_parquet(folder)) == ROWS + 10
    (path / "-first.jsonl").unlink()
    flights(20).to_json(path / "1.jsonl", orient="records", lines=True)
    assert len(scored(path, carried, folder)) == 1
    assert pd.read_parquet(folder)["note"].tolist() == [*flights()["note"][:502], *flights(20)["note"]]
    assert names[0] in contents(folder)


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_a_file_that_gives_a_column_another_kind_has_all_scored_anew(
    ending: str, carried: Carried, tmp_path: Path
) -> None:
    """Whole numbers until one is missing, or a folder year=late after year=2026: no reader takes both kinds."""
    folder = tmp_path / "out"

    def written(year: str, stops: list[float]) -> list[str]:
        (tmp_path / "in" / f"year={year}").mkdir(parents=True)
        rows, to = flights(2).assign(stops=stops), f"{tmp_path}/in/year={year}/0.{ending}"
        {
            "jsonl": lambda: rows.to_json(to, orient="records", lines=True),
            "parquet": lambda: rows.to_parquet(to),
            "csv": lambda: rows.to_csv(to, index=False),
        }[ending]()
        return scored(tmp_path / "in", carried, folder)

    written("2026", [1, 2])
    written("2027", [1, 2])
    assert len(written("2028", [1, 1.5])) == (1 if ending == "csv" else 3)
    assert len(written("late", [1, 2])) == 4
    assert pd.read_parquet(folder)["year"].tolist() == [
        year for year in ("2026", "2027", "2028", "late") for _ in "ab"
    ]
    assert scored(tmp_path / "in", carried, folder) == []


def test_parts_are_shared_and_the_last_one_finishes(carried: Carried, tmp_path: Path) -> None:
    """As the pods of an indexed job do, in any order, and one of them twice."""
    path, folder, alone = table(tmp_path), tmp_path / "out", tmp_path / "alone"
    scored(path, carried, alone)
    for which in (2, 0, 2):
        scored(path, carried, folder, share=(which, 3))
        assert MANIFEST not in contents(folder)
    scored(path, carried, folder, share=(1, 3))
    assert contents(folder) == contents(alone)
    said = json.loads((folder / MANIFEST).read_text())
    assert (said["rows"], said["model"], said["digest"]) == (ROWS, "m", carried.digest)
    assert sum(part["rows"] for part in said["parts"]) == ROWS


def test_two_who_finish_at_once_do_not_hinder_each_other(
    carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one of them throws away as left behind, the other one was about to give its name."""
    path, folder = table(tmp_path), tmp_path / "out"
    scored(path, carried, tmp_path / "alone")
    sync = disk_folder.os.fsync

    def other_first(handle: int) -> None:
        monkeypatch.setattr(disk_folder.os, "fsync", sync)
        scored(path, carried, folder)
        sync(handle)

    monkeypatch.setattr(disk_folder.os, "fsync", other_first)  # in the middle of the first part
    scored(path, carried, folder)
    assert contents(folder) == contents(tmp_path / "alone")


@pytest.mark.parametrize("when", ["a part is named", "a part is written"])
def test_two_who_score_otherwise_into_one_folder_leave_the_parts_of_one(
    when: str, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of last night's champion is still going: a manifest of parts that are gone would pass for all rows."""
    path, folder = table(tmp_path), tmp_path / "out"
    other = work_on(path, carried, folder, Options(explain=True))
    name = {"a part is named": "_noted", "a part is written": "_described"}[when]
    step, steps = getattr(parted, name), iter(range(9))

    def other_first(*words: Any) -> Any:
        if next(steps) == 1 or when != "a part is named":
            monkeypatch.setattr(parted, name, step)
            score_parts(other, engines.alone(carried))
        return step(*words)

    monkeypatch.setattr(parted, name, other_first)
    with pytest.raises(
        BadOutput, match=r"^another scoring into .*out (took .* away|has ended since .*): let one end before"
    ):
        scored(path, carried, folder)
    assert set(other.names) == set(contents(folder)) - {MANIFEST}
    assert json.loads((folder / MANIFEST).read_text())["options"]["explain"]


def test_faults_are_counted_from_the_first_row_and_the_folder_is_not_finished(
    carried: Carried, tmp_path: Path
) -> None:
    """Row 700 is row 700, whichever part it is in; the other parts are kept for the next run."""
    frame, folder = flights().astype({"hour": object}), tmp_path / "out"
    frame.loc[[699, 901], "hour"] = "noon"
    frame.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(FaultyRows, match="2 values cannot be used, the folder is not finished") as caught:
        scored(tmp_path / "in.csv", carried, folder)
    assert [fault.row for fault in caught.value.faults] == [700, 902]
    assert MANIFEST not in contents(folder)
    report = score_parts(
        work_on(tmp_path / "in.csv", carried, folder, Options(null_on_fault=True)), engines.alone(carried)
    )
    assert report is not None
    assert (report.rows, report.unscored) == (ROWS, 2)
    written = pd.read_parquet(folder)
    assert written["hour"][699] == "noon"
    assert np.isnan(written["prediction"][699])


def test_a_fault_late_in_a_text_file_leaves_its_prediction_empty(carried: Carried, tmp_path: Path) -> None:
    """Its column was a number in the first block's rows, and could not hold the word then."""
    frame = pd.concat([flights(500)] * 200, ignore_index=True).astype({"hour": object})
    frame.loc[99_000, "hour"] = "noon"
    frame.to_csv(tmp_path / "in.csv", index=False)
    output = tmp_path / "out.parquet"
    report = score_file(carried.scorer(), open_source(str(tmp_path / "in.csv")), output, null_on_fault=True)
    assert report.unscored == 1
    assert pd.read_parquet(output)["hour"][99_000] == "noon"


def in_the_input(folder: Path) -> tuple[Path, str]:
    """The next run would score the first one's output."""
    (folder / "data").mkdir()
    flights(10).to_csv(folder / "data" / "a.csv", index=False)
    return folder / "data", str(folder / "data" / "out")


def beside_others(folder: Path) -> tuple[Path, str]:
    """Readers would take the other file for a part."""
    (folder / "out").mkdir()
    (folder / "out" / "notes.txt").write_text("mine")
    return table(folder), str(folder / "out")


@pytest.mark.parametrize(
    ("place", "says"), [(in_the_input, "is in the input"), (beside_others, "holds 'notes.txt'")]
)
def test_a_folder_that_is_not_for_parts_is_refused(
    place: Callable[[Path], tuple[Path, str]], says: str, carried: Carried, tmp_path: Path
) -> None:
    """Before the work, and without touching what is there."""
    path, folder = place(tmp_path)
    with pytest.raises(BadOutput, match=says):
        work_on(path, carried, Path(folder))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--output", "out.csv", "--parts", "3", "--part", "0"], "one file, which cannot be shared"),
        (["--output", "out/", "--parts", "3"], "pass both"),
        (["--output", "out/", "--parts", "3", "--part", "3"], "there is no part 3 of 3"),
        (["--output", "out.csv", "--engine", "dask"], "one file, which cannot be shared"),
        (["--output", "out/", "--parts", "3", "--part", "0", "--engine", "dask"], "share all parts"),
        (["--output", "out/", "--engine", "dusk"], "engine is 'dusk': pass dask"),
    ],
)
def test_words_that_share_nothing_are_refused(
    words: list[str], says: str, version: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    """A pod that scores all of the table, or nothing, would be found out late."""
    monkeypatch.setattr(
        "serving.batch.__main__.locate", lambda *_: type("M", (), {"folder": version / "scorer"})
    )
    assert main(["--name", "m", "--input", "in.csv", *words]) == 2
    assert says in capsys.readouterr().err


KILLED = """
import os, signal, sys
from pathlib import Path
from data.sources import open_source, source
from serving.batch import Options, Work, engines, score_parts
from serving.batch.carried import Carried
from serving.batch.outputs import folder_of
import serving.scorer.scoring, serving.batch.parted, data.sources.formats.text_files
source.PART_BYTES = 30_000
carried, table, folder = Carried.of(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3])

def run(kill_at):
    steps = 0
    def trace(event, words):
        nonlocal steps
        if event in ("open", "os.rename", "os.remove", "os.mkdir") and str(folder) in str(words[0]):
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(trace)
    source = open_source(table)
    work = Work.on(folder_of(str(folder)), source, carried.scorer(), Options(), {"model": "m", "version": "1"})
    score_parts(work, engines.alone(carried))
    return steps

killed = 0
while True:
    pid = os.fork()
    if pid == 0:
        run(killed + 1)
        os._exit(0)
    if os.waitpid(pid, 0)[1] == 0:
        break
    killed += 1
    assert killed < 500
print(killed)
"""


@pytest.mark.soak
def test_killed_before_every_step_the_folder_comes_out_the_same(
    version: Path, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run is killed one step later than the one before, and takes up what that one left."""
    monkeypatch.setattr(source, "PART_BYTES", 30_000)
    path = table(tmp_path)
    scored(path, carried, tmp_path / "whole")
    words = [sys.executable, "-c", KILLED, str(version / "scorer"), str(path), str(tmp_path / "killed")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


class Deadly(Carried):
    """A version whose process is killed while it scores, as often as there are files that say so."""

    def scorer(self, *, threads: int = 1) -> Scorer:
        for path in Path(os.environ["DEADLY"]).glob("*"):
            path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().scorer(threads=threads)


@pytest.mark.soak
@pytest.mark.parametrize("deaths", [1, 4])
def test_a_process_that_is_killed_is_replaced_and_no_row_comes_twice(
    deaths: int, carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For want of memory, as a rule; where it happens again and again, that is said."""
    path, folder = table(tmp_path), tmp_path / "out"
    scored(path, carried, tmp_path / "alone")
    work = work_on(path, carried, folder)
    (tmp_path / "deadly").mkdir()
    monkeypatch.setenv("DEADLY", str(tmp_path / "deadly"))
    for death in range(deaths):
        (tmp_path / "deadly" / str(death)).touch()
    engine = engines.beside(Deadly(carried.digest, carried.files), processes=2)
    monkeypatch.setattr(engines, "ATTEMPTS", 2)
    if deaths == 4:
        with pytest.raises(WorkersLost, match="a process was killed while it scored, 2 times"):
            score_parts(work, engine)
        return
    score_parts(work, engine)
    assert contents(folder) == contents(tmp_path / "alone")


def test_what_a_database_answers_is_one_part_of_each_run(carried: Carried, tmp_path: Path) -> None:
    """Under one name two runs at once had each other's rows: the manifest of the one named the file of the other."""
    names = set()
    for count in (30, 20):
        with sqlite3.connect(tmp_path / "rows.db") as database:
            flights(count).to_sql("rows", database, if_exists="replace", index=False)
        database.close()
        read = open_source(f"sqlite:///{tmp_path}/rows.db", query="select * from rows")
        work = Work.on(folder_of(f"{tmp_path}/out/"), read, carried.scorer(), PLAIN, {})
        score_parts(work, engines.alone(carried))
        names |= set(work.names)
        assert contents(tmp_path / "out").keys() == {*work.names, MANIFEST}
        assert len(pd.read_parquet(tmp_path / "out")) == count
    assert len(names) == 2


def test_a_column_of_nothing_is_one_of_texts(carried: Carried, tmp_path: Path) -> None:
    """Pandas gives a column without a value no kind. Spark cannot read that as any kind, and Delta has none such."""
    rows = pa.Table.from_pandas(flights(), preserve_index=False)
    kinds = [pa.null(), pa.list_(pa.null()), pa.struct([("a", pa.null())]), pa.map_(pa.string(), pa.null())]
    for place, kind in enumerate(kinds):
        rows = rows.append_column(f"nothing {place}", pa.nulls(ROWS, kind))
    pa_parquet.write_table(rows, tmp_path / "in.parquet", row_group_size=301)
    scored(tmp_path / "in.parquet", carried, tmp_path / "out")
    for path in (tmp_path / "out").glob("*.parquet"):
        leaves = pa_parquet.ParquetFile(path).schema
        assert "UNKNOWN" not in {leaves.column(leaf).logical_type.type for leaf in range(len(leaves))}
    written = pa_dataset.dataset(tmp_path / "out").to_table().select(rows.schema.names)
    assert written.equals(rows.cast(written.schema))


def test_numbers_after_nothing_do_not_become_texts(tmp_path: Path) -> None:
    """A database says no kinds: its first rows may have no value where later ones have a number."""
    nothing, texts, numbers = ([None], ["a"], [1])
    with TableFile(tmp_path / "t.parquet", ".parquet") as file:
        for values in (nothing, texts, nothing):
            file.write(pa.record_batch({"x": pa.array(values)}))
        with pytest.raises(
            BadOutput, match="column 'x' is null in the first rows, and int64 later: leave it out"
        ):
            file.write(pa.record_batch({"x": pa.array(numbers)}))
    assert pa_parquet.read_table(tmp_path / "t.parquet")["x"].to_pylist() == [None, "a", None]


def test_a_disk_that_is_full_leaves_no_part_that_is_not_whole(
    carried: Carried, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name comes after the bytes are on the disk: what stands under it can be read."""
    path, folder = table(tmp_path), tmp_path / "out"
    monkeypatch.setattr(
        disk_folder.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    with pytest.raises(
        BadOutput, match=r"/out/part-.*\.parquet does not fit: No space left on device: make room, and run"
    ):
        scored(path, carried, folder)
    assert contents(folder) == {}


def test_a_part_names_what_it_was_made_by(carried: Carried, tmp_path: Path) -> None:
    """Another coverage, another version, another state of the file: another name."""
    path = table(tmp_path)
    folder = tmp_path / "out"
    works = [work_on(path, carried, folder, options) for options in (PLAIN, Options(explain=True))]
    works.append(parted.Work(works[0].folder, works[0].parts, PLAIN, "another", {}))
    os.utime(path, ns=(1, 1))
    works.append(work_on(path, carried, folder))
    assert len({work.names[0] for work in works}) == 4
