"""How much memory a table would take, and how much there is: guesses that decide what is read in parts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from data.sources import Source

CELL, TEXT_CELL = 8, 70
"""Bytes of a number, and of a short text with the object around it, in a table that is held."""

ROOT = Path("/sys/fs/cgroup")


def bytes_in_memory(source: Source) -> float:
    """Return about how many bytes the rows of a source take as a table; nothing where it cannot say its size."""
    rows = source.about_rows()
    first = next((batch for batch in source.batches() if batch.num_rows), None) if rows else None
    if first is None:
        return 0.0
    return rows * sum(_cell(source, column) for column in first.columns)


def _cell(source: Source, column: pa.Array) -> int:
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if source.is_text:
        try:
            column.cast(pa.float64())
        except pa.ArrowInvalid:
            return TEXT_CELL
        return CELL
    return CELL if plain or pa.types.is_decimal(kind) else TEXT_CELL


def free_memory() -> float:
    """Return the bytes that may be taken: what the machine has free, or what the cgroup leaves, whichever is less."""
    return min(_of_machine(), group_memory())


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    known = dict(line.split(":", 1) for line in lines)
    return float(known["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in known else float("inf")


def group_memory(root: Path = ROOT) -> float:
    """Return what the limits of this process's cgroup and those above leave; files of version 2, then of 1."""
    left = [
        _left(folder / "memory.max", folder / "memory.current", folder / "memory.stat")
        for folder in _groups(root)
    ]
    old = root / "memory"
    left.append(_left(old / "memory.limit_in_bytes", old / "memory.usage_in_bytes", old / "memory.stat"))
    return min(left)


def _groups(root: Path) -> list[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [root]
    own = next((line[3:] for line in lines if line.startswith("0::")), "/").strip("/")
    folder = root / own
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _left(limit: Path, used: Path, stat: Path) -> float:
    """Return what a limit leaves: pages of files that can be dropped are not counted as used."""
    try:
        most, now = limit.read_text().strip(), float(used.read_text())
        counts = dict(line.split(" ", 1) for line in stat.read_text().splitlines())
    except (OSError, ValueError):
        return float("inf")
    return (
        float("inf") if most == "max" else max(0.0, float(most) - now + float(counts.get("inactive_file", 0)))
    )
