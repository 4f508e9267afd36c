"""The rows of one query on a database, through SQLAlchemy, which changes nothing there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from data.column_names import named
from data.errors import EmptySource, UnreadableSource
from data.redaction import redact, redact_address
from data.sources import read_only
from data.sources.source import BATCH_ROWS, Source, refuse_duplicates


@dataclass(frozen=True)
class SqlSource(Source):
    """The rows of one query."""

    url: str = field(default="", repr=False)
    query: str = ""

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows in the query's order and change nothing; raises UnreadableSource with its reason."""
        import sqlalchemy  # noqa: PLC0415 - 0.2 s that only a database needs

        try:
            with read_only.connect(self.url, ahead=rows) as connection:
                result = connection.execute(sqlalchemy.text(self.query))
                names = named(list(result.keys()))
                refuse_duplicates(self.where, names)
                for block in result.partitions(rows):
                    columns = [pa.array(values) for values in zip(*block, strict=True)]
                    yield pa.RecordBatch.from_arrays(columns, names=names)
        except (sqlalchemy.exc.SQLAlchemyError, ImportError, pa.ArrowException) as error:
            reason = redact(str(error).splitlines()[0], self.url)
            raise UnreadableSource(
                where=self.where, reason=reason, repair=read_only.repair(reason)
            ) from error

    def read(self) -> pa.Table:
        """Return all rows; blocks whose types differ (a whole number, then a fraction) are joined."""
        batches = [pa.Table.from_batches([batch]) for batch in self.batches()]
        if not batches:
            raise EmptySource(where=self.where)
        return pa.concat_tables(batches, promote_options="permissive")


def open_database(url: str, query: str) -> Source:
    """Return the rows of a query; raises UnreadableSource where there is none, or it would change something."""
    import sqlalchemy  # noqa: PLC0415 - 0.2 s that only a database needs

    shown = url.split("://", maxsplit=1)[0] + "://..."
    try:
        made = sqlalchemy.make_url(url)
        made.get_dialect()
    except sqlalchemy.exc.NoSuchModuleError as error:
        raise UnreadableSource(
            where=shown,
            reason=f"{made.drivername!r} is neither a database that SQLAlchemy knows nor a place of files",
            repair="pass a path, or the URL of a database",
        ) from error
    except sqlalchemy.exc.ArgumentError as error:
        raise UnreadableSource(
            where=shown,
            reason="is no SQLAlchemy URL",
            repair="write it as dialect://user:password@host:port/database",
        ) from error
    except ImportError:
        pass  # the driver is not installed: said where it is needed
    if not query:
        raise UnreadableSource(
            where=shown,
            reason="a database needs a query",
            repair='pass one, such as query="SELECT * FROM houses"',
        )
    if fault := read_only.fault_of(query):
        raise UnreadableSource(
            where=redact_address(url), reason=f"the query {fault}", repair=read_only.REPAIR
        )
    return SqlSource(where=redact_address(url), url=url, query=query)
