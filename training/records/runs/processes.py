"""Which process a run belongs to, and whether that process is gone; knows no MLflow.

A process is told by its number and the tick at which it started, within one boot of one machine and one namespace of
processes: a container sees only its own. Where that cannot be read, or is another's, nobody can tell.
"""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """Return the words for this process, or nothing where the system does not tell them (Linux does)."""
    place, started = _place(), _started(os.getpid())
    return f"{place} {os.getpid()} {started}" if place and started else ""


def is_gone(process: str) -> bool:
    """Return whether a process was one of this place, and ended; False where that cannot be told.

    >>> is_gone("") or is_gone("another-boot 4026531836 1 2") or is_gone(this_process())
    False
    """
    *place, number, started = process.split() if process.count(" ") == 3 else ["", "", ""]
    here = _place()
    return bool(here) and " ".join(place) == here and number.isdigit() and _started(int(number)) != started


def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _started(number: int) -> str:
    """Return the tick at which a process started, nothing where there is none of this number or it is a zombie."""
    try:
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]
