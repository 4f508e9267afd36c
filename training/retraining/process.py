"""A training of a challenger, as a process of its own: the command that a person would give.

Its memory is gone when it ends, and where it is killed, or is refused, the monitor lives and can say so. It holds the
lock that its parent holds: as long as it lives nobody trains the same model from the same captures a second time.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data.own_files import own_folder

ROOT = str(Path(__file__).parents[2])

LINES = 5
"""Of what the process said last, where it failed."""

OF_PARENT = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME")
"""What `mlflow run` says to the monitor alone: the training has a run in the model's own experiment."""


@dataclass(frozen=True)
class TrainedApart:
    """What came of a training.

    Attributes
    ----------
    version : str
        The challenger's number; nothing where there is none.
    refused : str
        Why there is none.
    """

    version: str = ""
    refused: str = ""


@contextmanager
def alone(path: Path) -> Iterator[int | None]:
    """Give the handle of a lock as long as the block lasts, None where another process has it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield handle if _locks(handle) else None
    finally:
        os.close(handle)


def _locks(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def train(words: Mapping[str, str], lock: int) -> TrainedApart:
    """Train, and return what came of it."""
    try:
        return _trained(words, lock)
    except OSError as error:
        return TrainedApart(refused=f"no training could be started: {error}")


def _trained(words: Mapping[str, str], lock: int) -> TrainedApart:
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        result = Path(folder) / "result.json"
        said = {**words, "promote": "never", "result": str(result)}
        arguments = [part for name, word in said.items() for part in (f"--{name}", word)]
        environment = {name: word for name, word in os.environ.items() if name not in OF_PARENT}
        done = subprocess.run(
            [sys.executable, "-m", "training", "train", *arguments],
            env=environment | {"PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])},
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(lock,),
            check=False,
        )
        if done.returncode == 0 and result.is_file():
            return TrainedApart(json.loads(result.read_text(encoding="utf-8"))["version"])
    return TrainedApart(refused=_last_words(done))


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"the training was ended by signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    start = next((index for index, line in enumerate(lines) if line.startswith("slipway: ")), -1)
    return (
        "; ".join(line.strip() for line in lines[start:][:LINES]).removeprefix("slipway: ")
        or "it said nothing"
    )
