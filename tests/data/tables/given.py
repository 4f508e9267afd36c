"""A source that holds a table already."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from data.sources import Source


@dataclass(frozen=True)
class Given(Source):
    """A source that holds a table already."""

    table: pa.Table | None = None

    def read(self) -> pa.Table:
        """Return it."""
        assert self.table is not None
        return self.table
