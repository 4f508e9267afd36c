"""Files and folders that belong to one process: nobody else writes there, and what a killed one left is found."""

from data.own_files.own_file import (
    CLOSE_SECONDS,
    LOOK_SECONDS,
    NO_ROOM,
    OPEN,
    OwnFile,
    is_nearly_full,
    sync_folder,
)
from data.own_files.temporary import own_folder, scratch

__all__ = [
    "CLOSE_SECONDS",
    "LOOK_SECONDS",
    "NO_ROOM",
    "OPEN",
    "OwnFile",
    "is_nearly_full",
    "own_folder",
    "scratch",
    "sync_folder",
]
