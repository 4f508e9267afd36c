"""Delta and Iceberg tables: the rows that their logs say, in the version that is asked for."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest

from data.errors import OutOfReach, UnreadableSource
from data.sources import open_source
from data.sources.lakes import by_library, delta_library
from tests.conftest import missing_part
from tests.seaweed import Bucket

ROWS = pa.table({"x": [1, 2, 3, 4], "y": [1.0, 2.0, 3.0, 4.0], "g": ["a b/ü", "a b/ü", "b%", "b%"]})


@pytest.fixture(scope="module")
def delta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of two folders, of whose rows one was deleted."""
    try:
        import deltalake
    except ImportError:
        missing_part("deltalake")
    folder = tmp_path_factory.mktemp("lakes") / "delta"
    deltalake.write_deltalake(str(folder), ROWS, partition_by=["g"])
    deltalake.DeltaTable(str(folder)).delete("x = 2")
    return folder


@pytest.fixture(scope="module")
def iceberg(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """The same as an Iceberg table, and its snapshots."""
    try:
        from pyiceberg.catalog.sql import SqlCatalog
    except ImportError:
        missing_part("pyiceberg")
    folder = tmp_path_factory.mktemp("lakes")
    catalog = SqlCatalog("tests", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=ROWS.schema)
    table.append(ROWS)
    table.delete("x = 2")
    catalog.close()
    return folder / "n" / "t", [each.snapshot_id for each in table.snapshots()]


def xs(where: object) -> list[int]:
    """The column x of a table, sorted."""
    return sorted(open_source(str(where)).read()["x"].to_pylist())


def test_rows_that_were_deleted_are_no_rows(delta: Path, iceberg: tuple[Path, list[int]]) -> None:
    """Both tables keep the files of the deleted row, beside those without it."""
    assert len(list(delta.rglob("*.parquet"))) > 2
    for table in (delta, iceberg[0]):
        assert xs(table) == xs(f"{table}/") == [1, 3, 4]
        assert open_source(str(table)).read().schema.names == ["x", "y", "g"]


def test_a_version_is_read_by_its_number_and_says_it(delta: Path, iceberg: tuple[Path, list[int]]) -> None:
    """What `reproduce` asks for is what a training was given, whatever was written since."""
    table, snapshots = iceberg
    for where, first, newest in ((delta, 0, 1), (table, snapshots[0], snapshots[-1])):
        assert xs(f"{where}@{first}") == xs(f"{where}@v{first}") == [1, 2, 3, 4]
        assert open_source(str(where)).notes == [f"{where}@{newest}, a version of the table"]
        assert open_source(str(where)).version == open_source(str(where)).where == f"{where}@{newest}"
        with pytest.raises(
            UnreadableSource, match=f"has no (version|snapshot) 77: its .* {newest}|@{newest}"
        ):
            open_source(f"{where}@77")


def test_parts_are_the_rows_in_another_process_too(delta: Path, iceberg: tuple[Path, list[int]]) -> None:
    """`score` into a folder shares them among processes, and knows those that are done by their identity."""
    for where in (delta, iceberg[0]):
        source = open_source(str(where))
        parts = pickle.loads(pickle.dumps(source.parts()))
        assert sum(part.source.read().num_rows for part in parts) == source.about_rows() == 3
        assert all(part.identity for part in parts)
        assert source.read().num_rows == 3


def test_files_of_a_table_are_not_read_past_its_log(delta: Path, iceberg: tuple[Path, list[int]]) -> None:
    """A glob over the files gave deleted rows, and rows twice, without a word."""
    for table, inside in (
        *((delta, name) for name in ("*/*.parquet", "**/*.parquet", "g=b%25", "g=b%25/*")),
        *((iceberg[0], name) for name in ("data", "data/*.parquet")),
    ):
        with pytest.raises(
            UnreadableSource, match=f"^{table}: is an? (Delta|Iceberg) table, in which not all"
        ):
            open_source(f"{table}/{inside}")
    (single, *_) = sorted(delta.rglob("*.parquet"))
    with pytest.raises(UnreadableSource, match=f"pass data={delta}, without the names of files"):
        open_source(str(single))


def test_a_file_whose_name_ends_like_a_version_is_that_file(tmp_path: Path) -> None:
    """An @ in a name is no version where such a file or folder is there."""
    (tmp_path / "runs@3").mkdir()
    pa_parquet.write_table(ROWS, tmp_path / "runs@3" / "t@1.parquet")
    assert xs(tmp_path / "runs@3") == xs(tmp_path / "runs@3" / "t@1.parquet") == [1, 2, 3, 4]


@pytest.mark.parametrize(("kind", "package"), [("delta", "deltalake"), ("iceberg", "pyiceberg")])
def test_a_table_without_its_library_is_refused(
    kind: str, package: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its Parquet files are there, and would be read as if nothing had been deleted."""
    made = request.getfixturevalue(kind)
    where = made if kind == "delta" else made[0]
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnreadableSource, match=rf"needs {package}: pip install '\.\[{kind}\]'"):
        open_source(str(where))


def test_a_version_whose_files_are_gone_says_so(delta: Path) -> None:
    """After a vacuum the log still tells of them."""
    import deltalake

    deltalake.DeltaTable(str(delta)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    assert xs(delta) == [1, 3, 4]
    with pytest.raises(
        UnreadableSource, match="a file of this version is gone, as after a vacuum: pass a newer"
    ):
        open_source(f"{delta}@0").read()


def test_columns_are_those_that_an_iceberg_table_has_now(
    iceberg: tuple[Path, list[int]], tmp_path: Path
) -> None:
    """A column that was dropped or renamed since the last rows were written was read on, under its old name."""
    from pyiceberg.catalog.sql import SqlCatalog

    folder = iceberg[0].parent.parent
    catalog = SqlCatalog("tests", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    table = catalog.create_table("n.later", schema=ROWS.schema)
    table.append(ROWS)
    with table.update_schema() as change:
        change.delete_column("g")
        change.rename_column("y", "z")
    catalog.close()
    newest = open_source(f"{folder}/n/later")
    again, before = (
        open_source(newest.version),
        open_source(f"{folder}/n/later@{table.snapshots()[0].snapshot_id}"),
    )
    for source in (newest, again):
        assert source.read().schema.names == ["x", "z"]
        assert source.about_rows() == 4
    assert before.read().schema.names == ["x", "y", "g"]


@pytest.mark.parametrize("log", ["metadata/*.metadata.json", "metadata/snap-*.avro"])
@pytest.mark.parametrize("content", [b"", b"{", b"junk" * 10, b"Obj\x01\x02\xff\xff"])
def test_a_log_that_is_broken_is_one_line(
    iceberg: tuple[Path, list[int]], log: str, content: bytes, tmp_path: Path
) -> None:
    """Its library let EOFError, SystemError and errors of its own through."""
    copy = tmp_path / "t"
    shutil.copytree(iceberg[0], copy)
    for path in copy.glob("metadata/*"):
        if path.suffix == ".json":  # they name files by where the table was
            path.write_text(path.read_text().replace(str(iceberg[0]), str(copy)))
    for path in copy.glob(log):
        path.write_bytes(content)
    with pytest.raises(UnreadableSource, match=r"cannot be read as Iceberg: .*: pass a newer version"):
        open_source(str(copy)).read()


@pytest.mark.parametrize("mode", ["name", "id"])
def test_a_delta_table_whose_files_call_columns_otherwise_is_refused(mode: str, tmp_path: Path) -> None:
    """Its library reads the columns of the files by the table's names: renamed ones are empty, or another's."""
    import deltalake

    deltalake.write_deltalake(str(tmp_path), ROWS)
    (log,) = tmp_path.glob("_delta_log/*.json")
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    for entry in entries:
        if "protocol" in entry:
            entry["protocol"] = {"minReaderVersion": 2, "minWriterVersion": 5}
        if "metaData" in entry:
            entry["metaData"]["configuration"] = {"delta.columnMapping.mode": mode}
            schema = json.loads(entry["metaData"]["schemaString"])
            for number, column in enumerate(schema["fields"]):
                physical = {"x": "y", "y": "x"}.get(column["name"], column["name"])
                column["metadata"] = {
                    "delta.columnMapping.id": number,
                    "delta.columnMapping.physicalName": physical,
                }
            entry["metaData"]["schemaString"] = json.dumps(schema)
    log.write_text("\n".join(map(json.dumps, entries)))
    with pytest.raises(
        UnreadableSource, match=r"@0: has column mapping: .*: write its rows as a table without"
    ):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("last", "says"),
    [
        ("503 Service Unavailable", "the store is too busy to answer"),
        ("403 Forbidden", "is refused to whoever the environment says is asking"),
        ("404 Not Found <Code>NoSuchBucket</Code>", "there is no such bucket"),
        ("client error (Connect)", "the store does not answer"),
    ],
)
def test_what_deltalake_says_of_a_store_is_told_by_its_last_line(last: str, says: str) -> None:
    """The first one is `Generic S3 error`, and all speak of the time in which it tried again."""
    tried = "in 2s, after 10 retries, max_retries\n  \x1b[31m↳\x1b[0m 10, retry_timeout\n  \x1b[31m↳\x1b[0m 180s - HTTP"
    with pytest.raises(OutOfReach, match=f"^s3://bucket/a: {says}"), by_library("s3://bucket/a", "Delta"):
        raise OSError(f"Generic S3 error\n  \x1b[31m↳\x1b[0m Error performing GET {tried}\n  {last}\n")


def test_deltalake_finds_a_store_as_pyarrow_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose scheme may be in capitals, and whose keys in a profile; without an endpoint it needs no word of that."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    told = delta_library("S3://bucket/a")[2]
    assert told == delta_library("s3://bucket/a")[2]
    assert told == {
        "AWS_ENDPOINT_URL": "http://localhost:9",
        "AWS_ALLOW_HTTP": "true",
        "AWS_FORCE_CREDENTIAL_LOAD": "true",
    }
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert delta_library("s3://bucket/a")[2] is None


def test_a_table_that_deltalake_would_look_for_elsewhere_is_refused(delta: Path, tmp_path: Path) -> None:
    """It reads `a%20b` as `a b`, and gave the rows of the table that is called so."""
    for name in ("a%20b", "a\\b"):
        shutil.copytree(delta, tmp_path / name)
        with pytest.raises(UnreadableSource, match="takes its name for another one"):
            open_source(str(tmp_path / name))
    for name in ("a#b", "a ", "../a"):  # a log of what is in them was written into `a`
        with pytest.raises(UnreadableSource, match="takes its name for another one"):
            delta_library(f"s3://bucket/{name}")
    shutil.copytree(delta, tmp_path / "100% [ü]?#'")
    assert xs(tmp_path / "100% [ü]?#'") == [1, 3, 4]


def test_files_of_a_hudi_table_are_refused(tmp_path: Path) -> None:
    """They hold each row in the versions that it had."""
    (tmp_path / ".hoodie").mkdir()
    (tmp_path / "day=1").mkdir()
    pa_parquet.write_table(ROWS, tmp_path / "day=1" / "t.parquet")
    for where in (tmp_path, tmp_path / "day=1"):
        with pytest.raises(UnreadableSource, match=f"{tmp_path}: is a Hudi table, .*: export it as Parquet"):
            open_source(str(where))


@pytest.mark.soak
def test_an_iceberg_table_in_a_store_is_read_there(s3: Bucket, tmp_path: Path) -> None:
    """By its folder and by the metadata that its catalog names, which ends as a table of JSON does."""
    from pyiceberg.catalog.sql import SqlCatalog

    said = {"s3.endpoint": s3.server.environment["AWS_ENDPOINT_URL"], "s3.region": "us-east-1"}
    catalog = SqlCatalog("tests", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=s3.uri, **said)
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=ROWS.schema)
    table.append(ROWS)
    table.delete("x = 2")
    catalog.close()
    assert xs(table.location()) == xs(table.metadata_location) == [1, 3, 4]
    assert xs(f"{table.location()}@{table.snapshots()[0].snapshot_id}") == [1, 2, 3, 4]


def test_a_delta_table_in_a_store_is_read_there(s3: Bucket) -> None:
    """Its library finds key and endpoint in the environment, as all else does."""
    import deltalake

    where = f"{s3.uri}/lake/delta"
    options = {"AWS_ALLOW_HTTP": "true"}
    deltalake.write_deltalake(where, ROWS, storage_options=options)
    deltalake.DeltaTable(where, storage_options=options).delete("x = 2")
    assert xs(where) == [1, 3, 4]
    assert xs(f"{where}@0") == [1, 2, 3, 4]
    source = open_source(where)
    assert sum(part.source.read().num_rows for part in source.parts()) == source.about_rows() == 3
    with pytest.raises(UnreadableSource, match=f"{where}: is a Delta table"):
        open_source(f"{where}/*.parquet")
