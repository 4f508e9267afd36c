"""The ledger for people: a table, the champion at a moment, and what does not add up. Nothing is printed here."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from rich.table import Table
from rich.text import Text

from training import registry
from training.ledger import History


def table_of(history: History) -> Table:
    """Return the ledger as a table, oldest entry first."""
    table = Table("#", "when (UTC)", "what", "version", "who", "why", title=f"the ledger of {history.name}")
    for entry in history.entries:
        arrow = "->" if entry.moves else "kept against"
        cells = (
            str(entry.sequence),
            _minute(entry.when),
            entry.kind,
            f"{entry.from_version or 'none'} {arrow} {entry.to_version}",
            f"{entry.user}@{entry.host}",
            entry.reason,
        )
        table.add_row(*map(Text, cells))  # Text: a reason may hold what rich takes for markup
    return table


def champion_at(history: History, moment: datetime) -> str:
    """Return one sentence: which version was champion at a moment."""
    when = f"at {_minute(moment.isoformat())} UTC"
    before = [entry for entry in history.entries if datetime.fromisoformat(entry.when) <= moment]
    if not history.entries:
        return f"{history.name} has no ledger: nobody can say who was champion {when}"
    if not before:
        first = history.entries[0]
        start = f"before the ledger's first entry of {_minute(first.when)} UTC"
        return f"{_was(first.from_version)} champion of {history.name} {when}, {start}"
    last = next((entry for entry in reversed(before) if entry.moves), before[-1])
    return (
        f"{_was(before[-1].champion)} champion of {history.name} {when} (entry {last.sequence}: {last.kind})"
    )


def findings(history: History) -> list[str]:
    """Return what was done behind the ledger's back and can be seen."""
    found = [
        f"between entries {before.sequence} and {after.sequence} somebody else moved the champion "
        f"from version {before.champion or 'none'} to {after.from_version or 'none'}"
        for before, after in pairwise(history.entries)
        if before.champion != after.from_version
    ]
    return [*found, history.moved_in_words] if history.moved else found


def lost_entries(history: History) -> list[str]:
    """Return which versions bear the mark of an entry that this ledger lacks: it was deleted or written anew."""
    marks = history.marks
    return [
        f"version {version.number} bears the mark of a ledger entry that is gone ({mark}): "
        "the ledger was deleted or rewritten"
        for version in registry.versions(history.name)
        if (mark := version.tags.get(registry.ENTRY_TAG)) and mark not in marks
    ]


def _was(version: str) -> str:
    return f"version {version} was" if version else "no version was"


def _minute(when: str) -> str:
    return when[:16].replace("T", " ")
