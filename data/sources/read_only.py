"""Connections that read: a query of a training or a check changes nothing in the database it is sent to.

A statement that is no question is refused before it is sent. SQLite opens its file read-only, PostgreSQL begins
a read-only transaction, and on every database the transaction is rolled back. Where a database ends a
transaction by itself (MySQL and Oracle at CREATE or DROP) the first rule stands alone, and no rule sees what a
function of the database's own does: read with an account that may only read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import sqlalchemy

QUESTIONS = frozenset(("SELECT", "WITH", "VALUES", "TABLE", "FROM"))
"""The words that a query may begin with."""

REPAIR = "only reading is allowed here: pass one SELECT"

SQL_QUOTED = re.compile(
    r"""(?sx) '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | (\$\w*\$).*?\1 | --[^\n]* | /\*.*?\*/"""
)
"""Texts, quoted names and comments, in which a semicolon ends no statement."""

WRITES = re.compile(r"(?i)\b(INSERT\s+INTO|UPDATE\s+\S+\s+SET|DELETE\s+FROM|MERGE\s+INTO)\b")
"""Statements that begin with WITH and write all the same."""

REFUSED = re.compile("readonly|read-only|data-modifying", re.IGNORECASE)
"""What SQLite and PostgreSQL say to a statement that would write."""


def fault_of(query: str) -> str:
    """Return why a query is no question to a database, or nothing.

    >>> fault_of("drop table t")
    'begins with DROP'
    """
    bare = SQL_QUOTED.sub(" ", query)
    first = re.match(r"[\s(;]*(\w*)", bare)
    word = first[1].upper() if first else ""
    if word not in QUESTIONS:
        return f"begins with {word}" if word else "is empty"
    if writes := WRITES.search(bare):
        return f"holds {writes[1].upper()}"
    return "has more than one statement" if ";" in bare.strip().rstrip("; \n\t") else ""


def repair(reason: str) -> str:
    """Return what to do about a database's own reason."""
    return REPAIR if REFUSED.search(reason) else "check the URL, its driver and the query"


@contextmanager
def connect(address: str, *, ahead: int) -> Iterator[sqlalchemy.Connection]:
    """Open a connection that reads, `ahead` rows before they are asked for; closing it rolls back."""
    import sqlalchemy  # noqa: PLC0415 - 0.2 s that only a database needs

    url = _reading(sqlalchemy.make_url(address))
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    rules = {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}
    with engine.connect() as connection:
        yield connection.execution_options(stream_results=True, max_row_buffer=ahead, **rules)


def _reading(url: sqlalchemy.URL) -> sqlalchemy.URL:
    """Return SQLite's URL with mode=ro, which makes no file either; other databases' as they are."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return url
    mode = {} if url.query.get("mode") == "memory" else {"mode": "ro"}
    database = (
        url.database
        if url.database.startswith("file:")
        else f"file:{quote(str(Path(url.database).absolute()))}"
    )
    return url.set(database=database).update_query_dict({"uri": "true", **mode})
