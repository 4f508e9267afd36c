"""Files that are read again when they change: keys, certificates, tokens' keys.

Kubernetes swaps a symlink above them, so what is compared is what a path leads to. A new file that cannot be used
changes nothing but what is said of it: at once in a line of log, and in /status until a good one comes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from serving.errors import ServingError

Stamp = tuple[tuple[int, ...], ...]

logger = logging.getLogger(__name__)


class Watched:
    """Some files that are read together."""

    SECONDS = 1.0
    """Between two looks."""

    def __init__(self, option: str, paths: Iterable[str], load: Callable[[], None]) -> None:
        self.option, self._paths, self._load = option, tuple(paths), load
        # What was read before is read once more: it may have changed meanwhile.
        self._stamp: Stamp | None = None
        self._tried: Stamp | None = None
        self._read = time.time()
        self.is_refused = False

    def look(self) -> None:
        """Read them again where they changed; a look later where they cannot be used, for a pair changes one by one."""
        stamp = self._now()
        if stamp == self._stamp:
            return
        try:
            self._load()
        except Exception as error:  # whatever is wrong with it, the others are looked after
            if stamp == self._tried:
                self._stamp, self.is_refused = stamp, True
                said = error if isinstance(error, ServingError) else f"{self.option}: {type(error).__name__}"
                logger.error("%s; what was read before stays in use", said)  # noqa: TRY400 - the text says it all
            self._tried = stamp
            return
        if self._stamp is not None:
            logger.info("%s: read again", self.option)
        self._stamp, self._read, self.is_refused = stamp, time.time(), False

    def status(self) -> dict[str, Any]:
        """Return since when what is in use was read, and whether newer files are refused."""
        state = "OLD_ONE_KEPT" if self.is_refused else "READ"
        return {"state": state, "read": round(self._read, 3)}

    def _now(self) -> Stamp:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        result = os.stat(path)  # noqa: PTH116 - a path that leads nowhere is one of the answers
    except OSError:
        return ()
    return (result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns, result.st_ctime_ns)
