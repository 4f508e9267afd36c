"""When a disk counts as nearly full."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.own_files import is_nearly_full

GIB = 2**30


@pytest.mark.parametrize(
    ("size", "free", "nearly_full"),
    [
        (20 * GIB, 2.1 * GIB, False),
        (20 * GIB, 1.9 * GIB, True),
        (1_000 * GIB, 4.1 * GIB, False),
        (1_000 * GIB, 3.9 * GIB, True),
        (0, 0, False),
    ],
)
def test_a_tenth_of_a_small_disk_and_some_gigabytes_of_a_large_one(
    size: int, free: float, nearly_full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty free gigabytes of 252 are room enough; a file system that tells no size is never full."""
    told = SimpleNamespace(f_blocks=size // 4_096, f_bavail=int(free) // 4_096, f_frsize=4_096)
    monkeypatch.setattr(os, "statvfs", lambda _: told)
    assert is_nearly_full(Path()) == nearly_full
