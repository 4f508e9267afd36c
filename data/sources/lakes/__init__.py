"""Delta and Iceberg tables: folders whose Parquet files are rows only by what a log beside them says.

Read as plain Parquet such a folder gives rows that were deleted, and those that were changed twice. So their own
libraries say which files count, in the newest version or in the one that an address ends in: `flights@3` for version 3
of a Delta table, `flights@8474229310195730751` for a snapshot of Iceberg's.
"""

from __future__ import annotations

from data.sources.lakes.delta import DELTA_LOG, MAPPING, delta_files, delta_library
from data.sources.lakes.iceberg import open_iceberg
from data.sources.lakes.membership import refuse_files_of_tables
from data.sources.lakes.versions import by_library

__all__ = [
    "DELTA_LOG",
    "MAPPING",
    "by_library",
    "delta_files",
    "delta_library",
    "open_iceberg",
    "refuse_files_of_tables",
]
