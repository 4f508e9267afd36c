"""What a run's record says of how its table was read."""

from __future__ import annotations

from collections.abc import Mapping

from data.cells import ReadOptions
from data.redaction import MASK
from training.commands.values import columns
from training.errors import UsageError


def asked_then(recorded: Mapping[str, str]) -> ReadOptions:
    """Return how a version's run read its table, by the parameters that it recorded."""
    read, missing = (columns(recorded.get(name, "")) for name in ("read", "missing"))
    pairs = [pair.rpartition(":") for pair in read]
    return ReadOptions(
        tuple((column, words) for column, _, words in pairs), missing, recorded.get("decimal", "")
    )


def refuse_masked(*recorded: str) -> None:
    """Raise UsageError where a record of the table's address or query lacks the password that it was read with."""
    if any(MASK in text for text in recorded):
        raise UsageError(
            message="the table's address or query was recorded without its password: pass data=... and query=... again"
        )
