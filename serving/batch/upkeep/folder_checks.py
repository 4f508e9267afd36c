"""Whether parts can be written into a folder, before any work."""

from __future__ import annotations

from collections.abc import Collection

from data.sources.lakes import DELTA_LOG
from serving.batch.outputs import PartFolder, check_table
from serving.batch.upkeep.part_names import mark_of
from serving.errors import BadOutput


def check_folder(folder: PartFolder, where: str, *, delta: bool = False) -> None:
    """Raise BadOutput, UnreadableSource or OutOfReach where parts cannot be written into a folder."""
    folder.check(where)
    there = folder.names()
    if delta:
        check_table(str(folder))
    else:
        refuse_table(folder, there)
    shown = (name for name in there if not name.startswith((".", "_")))
    if other := next((name for name in shown if not mark_of(name)), ""):
        raise BadOutput(reason=f"{folder} holds {other!r}, which is no part", repair="name an empty folder")


def refuse_table(folder: PartFolder, there: Collection[str]) -> None:
    """Raise BadOutput where a folder that holds this is a Delta table."""
    if DELTA_LOG in there:
        reason = f"{folder} is a Delta table, whose log would name parts that are gone"
        raise BadOutput(reason=reason, repair="pass delta=true, or name another folder")
