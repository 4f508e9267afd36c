"""What a training or a promotion came to, as one JSON file and an exit code: for cron, CI and whoever reads no lines.

The file is written whole at the end. One that an earlier command left is removed before the work, so that a file that
is there is this command's, and none means that nothing was decided.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import UsageError

if TYPE_CHECKING:
    from training.challenger import Outcome

NOT_PROMOTED = 4
"""The exit code of a command that was asked to fail where the version is not promoted."""


def make_room(path: str) -> None:
    """Remove what an earlier command left; raises UsageError where no file can be written."""
    if not path:
        return
    beside = _beside(Path(path))
    try:
        beside.touch()
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(
            message=f"result: {path} cannot be written: {reason}: name a file in a folder that you can write to"
        ) from error
    finally:
        beside.unlink(missing_ok=True)


def write(path: str, outcome: Outcome) -> None:
    """Write what came of a command, whole or not at all; nothing without a path."""
    if not path:
        return
    beside = _beside(Path(path))
    try:
        beside.write_text(json.dumps(as_dict(outcome), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def as_dict(outcome: Outcome) -> dict[str, Any]:
    """Return the JSON form; a figure that is no finite number is null."""
    version, decision = outcome.version, outcome.decision
    change = {} if decision.change is None else asdict(decision.change)
    return {
        "name": version.name,
        "version": version.number,
        "decision": decision.word,
        "promoted": decision.promoted,
        "reason": decision.reason,
        "advice": decision.advice,
        "digest": version.digest,
        "run_id": outcome.run_id,
        "figures": _finite(outcome.figures),
        "change_in_rmse": _finite(change) or None,
    }


def _finite(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")
