"""A version whose process, or the worker that it stands beside, comes to an end: sent to workers with our code."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serving.batch.carried import Carried
from serving.batch.outputs import disk_folder
from serving.scorer import Scorer


@dataclass(frozen=True)
class Deadly(Carried):
    """A version that does what a file in a folder is called, when a part is written and has no name yet."""

    folder: str = ""

    def scorer(self, *, threads: int = 1) -> Scorer:
        """Return the scorer, and wait for the part."""
        sync = os.fsync

        def end(handle: int) -> None:
            for path in Path(self.folder).glob("*"):
                with suppress(FileNotFoundError):
                    path.unlink()
                    ENDS[path.name.partition("-")[0]]()
            sync(handle)

        disk_folder.os.fsync = end  # type: ignore[attr-defined]
        return super().scorer(threads=threads)


def hang() -> None:
    """Sleep where no signal of Python's would be handled in time."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    time.sleep(300)


ENDS = {
    "worker": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang,
}
