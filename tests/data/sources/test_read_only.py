"""A query of a training or a check leaves the database as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from data.errors import UnreadableSource
from data.sources import open_source, read_only
from data.sources.read_only import fault_of
from tests.recorded import recorded


@pytest.fixture
def database(tmp_path: Path) -> str:
    """A SQLite file with one table of two rows, in a folder whose name needs quoting."""
    folder = tmp_path / "a folder#1?"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "s.db")) as connection:
        connection.executescript("CREATE TABLE t(x, y); INSERT INTO t VALUES (1, 2), (3, 4)")
    return str(folder / "s.db")


def url_of(path: str) -> str:
    """SQLAlchemy's way to write a file."""
    return sqlalchemy.URL.create("sqlite", database=path).render_as_string()


WRITES = (
    "DROP TABLE t",
    "/* SELECT */ drop table t",
    "DELETE FROM t RETURNING x, y",
    "WITH a AS (SELECT 1) DELETE FROM t RETURNING x, y",
    "INSERT INTO t VALUES (5, 6) RETURNING x, y",
    "SELECT x, y FROM t; DROP TABLE t",
)


@pytest.mark.parametrize("query", WRITES)
def test_no_query_changes_a_sqlite_file(database: str, query: str) -> None:
    """One line that says what is allowed, and every row is still there."""
    with pytest.raises(UnreadableSource, match="only reading is allowed here: pass one SELECT"):
        open_source(url_of(database), query=query).read()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)


def test_no_query_changes_postgresql(postgres: Callable[[str], str]) -> None:
    """The transaction is read-only, whatever the account may do."""
    url = postgres("read_only")
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t AS SELECT 1 AS x, 2 AS y"))
        connection.execute(sqlalchemy.text("CREATE SEQUENCE counted"))
    for query in (*WRITES, "SELECT nextval('counted') AS x"):
        with pytest.raises(UnreadableSource, match="only reading is allowed here: pass one SELECT"):
            open_source(url, query=query).read()
    assert open_source(url, query="TABLE t").read().to_pylist() == [{"x": 1, "y": 2}]
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM t")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT x, y FROM t",
        "  -- all of it\n select x, y from t ; ",
        "WITH a AS (SELECT x, y FROM t) SELECT * FROM a",
        "VALUES (1, 2), (3, 4)",
        "SELECT x, y FROM t WHERE 'a;b' <> \"x;\" /* ; */",
        "(SELECT x, y FROM t)",
    ],
)
def test_a_question_is_asked(query: str) -> None:
    """A semicolon in a text ends no statement."""
    assert fault_of(query) == ""


def test_sqlite_itself_refuses_to_write(database: str) -> None:
    """Where the words do not tell: the file is opened so."""
    with (
        pytest.raises(sqlalchemy.exc.OperationalError, match="readonly database") as caught,
        read_only.connect(url_of(database), ahead=10) as connection,
    ):
        connection.execute(sqlalchemy.text("DROP TABLE t"))
    assert read_only.repair(str(caught.value)) == read_only.REPAIR


def test_a_question_is_answered_and_a_mistyped_path_leaves_no_file(database: str, tmp_path: Path) -> None:
    """SQLite would make an empty database of the name that was mistyped."""
    assert open_source(url_of(database), query="SELECT * FROM t").read().num_rows == 2
    with pytest.raises(UnreadableSource, match="unable to open database file: check the URL"):
        open_source(f"sqlite:///{tmp_path}/mistyped.db", query="SELECT * FROM t").read()
    assert not (tmp_path / "mistyped.db").exists()
    recorded(
        "security",
        '`check -P query="DROP TABLE t"` on SQLite and PostgreSQL; a `DELETE ... RETURNING`; `SELECT 1; DROP TABLE t`',
        "Refuses what is not a query; opens SQLite with mode=ro, PostgreSQL in a read-only transaction",
        "One line, `only reading is allowed here`; every row is still there",
    )
