"""What can go wrong with the workers of an engine.

EngineError           workers cannot do what was asked
├── BadEngine         a word is no address of one
├── NoDask            the extra is not installed
├── EngineSilent      no scheduler answers, or it was lost
├── OtherVersions     a scheduler or a worker has another Python or another package
├── NoWorkers
├── FileNotSeen       a worker does not see a file that is here
└── TaskEnded         what a task did was ended, twice, or failed

All of them are `data.errors.DataError`.
"""

from __future__ import annotations

from data.errors import DataError


class EngineError(DataError):
    """Workers cannot do what was asked."""


class BadEngine(EngineError):
    """A word is no address of an engine."""

    template = "engine is {word!r}: pass dask for processes here, dask://host:8786, or tls://host:8786"
    word: str


class NoDask(EngineError):
    """The extra is not installed."""

    template = "engine={word} needs Dask: pip install '.[dask]' in Slipway's folder"
    word: str


class EngineSilent(EngineError):
    """No scheduler answers, or it was lost on the way."""

    template = "{where} {reason}: {repair}"
    where: str
    reason: str
    repair: str = "see that `dask scheduler` runs there, and that a firewall or TLS lets this machine in"


class OtherVersions(EngineError):
    """A scheduler or a worker has another Python or another package."""

    template = "{where} has {package} {found}, and here is {expected}: install the same, so that the bits are the same"
    where: str
    package: str
    found: str
    expected: str


class NoWorkers(EngineError):
    """A scheduler has nobody who works."""

    template = "{where} has had no worker for {seconds} s: start some (dask worker {where})"
    where: str
    seconds: int


class FileNotSeen(EngineError):
    """A worker does not see a file that is here."""

    template = (
        "worker {worker} does not see {what}: workers need the table, and the folder of parts, on a disk that all "
        "share, under the names that they have here"
    )
    worker: str
    what: str


class TaskEnded(EngineError):
    """What a task did was ended, or failed."""

    template = "{what} {how}{where}: {repair}"
    what: str
    how: str
    worker: str = ""
    repair: str = "run the same again, and what is written already stays"

    @property
    def where(self) -> str:
        """On which worker."""
        return self.worker and f" on worker {self.worker}"
