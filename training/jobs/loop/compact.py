"""What servers kept of their predictions becomes Parquet, and what is too old goes."""

from __future__ import annotations

from training import archive
from training.commands import watches
from training.console import Say


def compact(config: watches.CompactConfig, say: Say) -> None:
    """Compact a folder of captures once.

    Raises
    ------
    NoCaptures
        There is no such folder, or none of captures.
    CapturesBusy
        Another process compacts it, and does not end.
    CannotMirror
        The files cannot be copied to where they are asked for.
    """
    archive.compact(archive.found_at(config.captures), say, config.keep, config.to)
