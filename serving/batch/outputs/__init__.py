"""Where scored rows go: a file, or a folder of parts, on a disk or in a bucket; what appears there is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from serving.batch.outputs.delta_table import PartFile, check_table, committed, table_columns
    from serving.batch.outputs.disk_folder import PARTIAL
    from serving.batch.outputs.naming import check_output, folder_of, whole_file
    from serving.batch.outputs.part_folder import PartFolder
    from serving.batch.outputs.table_file import TableFile

__all__ = [
    "PARTIAL",
    "PartFile",
    "PartFolder",
    "TableFile",
    "check_output",
    "check_table",
    "committed",
    "folder_of",
    "table_columns",
    "whole_file",
]

__getattr__ = at_first_use(
    __name__,
    {
        "PARTIAL": "disk_folder",
        "PartFile": "delta_table",
        "PartFolder": "part_folder",
        "TableFile": "table_file",
        "check_output": "naming",
        "check_table": "delta_table",
        "committed": "delta_table",
        "folder_of": "naming",
        "table_columns": "delta_table",
        "whole_file": "naming",
    },
)
