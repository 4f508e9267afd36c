"""A version that goes along with the work to other processes and machines: its files' bytes, loaded once in each."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.own_files import own_folder
from serving.scorer import Scorer, scorer_files

_loaded: dict[str, Scorer] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Carried:
    """A version's files, by name, and the digest that they are held to wherever they come."""

    digest: str
    files: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, folder: Path) -> Carried:
        """Read the files of a `scorer/` folder; raises ModelError."""
        digest = scorer_files.digest_in(folder)
        return cls(digest, {path.name: path.read_bytes() for path in _present(folder)})

    def scorer(self, *, threads: int = 1) -> Scorer:
        """Return the scorer, loaded and replayed at this process's first use of it; raises ModelError."""
        with _lock:
            if self.digest not in _loaded:
                _loaded[self.digest] = self._load(threads)
            return _loaded[self.digest]

    def _load(self, threads: int) -> Scorer:
        folder = Path(tempfile.mkdtemp(prefix="scorer-", dir=own_folder()))
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        scorer = Scorer.load(folder, threads=threads, digest=self.digest, same_bits=True)
        scorer.replay_golden()
        return scorer


def _present(folder: Path) -> list[Path]:
    return [folder / name for name in scorer_files.FILES if (folder / name).is_file()]


def processors() -> int:
    """Return how many processors this process may use, up to as many as a job on one machine is spread over."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 8)
