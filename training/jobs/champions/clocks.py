"""When entries of the ledger were written, by clocks of machines that may be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from serving.registry import promotions

MOST_AHEAD = timedelta(minutes=5)
"""How far a writer's clock may be ahead of this one."""


def right_clocks(entries: Sequence[promotions.Entry]) -> set[int]:
    """Return the numbers of the entries whose times agree: the longest run that never goes back, none yet to come."""
    latest = datetime.now(UTC) + MOST_AHEAD
    times = [entry.when for entry in entries]
    if times == sorted(times) and (not times or datetime.fromisoformat(times[-1]) <= latest):
        return {entry.sequence for entry in entries}
    chains: list[list[promotions.Entry]] = []
    for entry in entries:
        if datetime.fromisoformat(entry.when) > latest:
            continue
        earlier = [chain for chain in chains if chain[-1].when <= entry.when]
        chains.append([*max(earlier, key=len, default=[]), entry])
    return {entry.sequence for entry in max(chains, key=len, default=[])}


def true_times(entries: Sequence[promotions.Entry]) -> list[datetime]:
    """Return when each entry was written: where its clock was wrong, when the one before it was."""
    right, times, last = right_clocks(entries), [], datetime.min.replace(tzinfo=UTC)
    for entry in entries:
        last = datetime.fromisoformat(entry.when) if entry.sequence in right else last
        times.append(last)
    return times
