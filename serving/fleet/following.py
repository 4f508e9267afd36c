"""Which version each model's place points to, and how a new one comes into service.

One thread in the parent asks the registry for all workers. A new version is downloaded and
compared with its promotion's digest here, loaded and replayed in every worker, and only where
all of them are ready do they swap. Whatever fails, the version in service stays: a refused one
isn't tried again before the place points elsewhere; a registry that cannot be asked is asked
again, ever more slowly.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from serving.errors import ModelError, NotReady
from serving.fleet.standing import standing_of
from serving.registry import (
    Cache,
    ResolvedVersion,
    is_remote,
    local,
    resolve,
    signed_for,
    vouched,
)
from serving.registry.errors import CacheDown, ModelNotFound, RegistryDown, UnsafeCache
from serving.settings import Model
from serving.signatures import Signed, Trust
from serving.signatures.errors import NotTrusted

LONGEST_PAUSE = 30.0
"""Seconds between two questions to a registry that does not answer."""

TOLD_SECONDS = 60.0
"""After which it is asked again what people want to know of a version."""

NICENESS = 10
"""Of the follower's thread: on a small machine it would take the workers' time."""

logger = logging.getLogger(__name__)


class Workers(Protocol):
    """What the follower asks of the crew."""

    def prepare(self, model: Model) -> str | None:
        """Load a version in all workers; return why one of them refuses it. Raises NotReady."""

    def swap(self, model: Model) -> None:
        """Serve it."""

    def tell_status(self, status: dict[str, Any]) -> None:
        """Pass on what /status shows."""


@dataclass(frozen=True)
class Rules:
    """How to follow: seconds between two questions, what passes, and what runs a version.

    Attributes
    ----------
    allow_unpromoted : bool
        Whether versions pass that no promotion vouches for.
    trust : Trust or None
        Whose signature a version needs; None for nobody's.
    tells : bool
        Whether the registry is asked for what people want to know of a version, beyond its files.
    """

    cache: Cache
    poll_seconds: float = 2.0
    allow_unpromoted: bool = False
    runtime: str = "scorer"
    trust: Trust | None = None
    tells: bool = False

    def fetch(self, resolved: ResolvedVersion) -> Model:
        """Return a version's files; raises ModelError, ModelNotFound or RegistryDown."""
        if self.runtime == "pyfunc":
            return self.cache.fetch_whole(resolved)
        return self.cache.fetch(resolved, allow_unpromoted=self.allow_unpromoted)

    def recall(self, uri: str) -> tuple[Model, ResolvedVersion] | None:
        """Return what a place pointed to last, if that is here; raises NotPromoted."""
        return self.cache.recall(uri, self.runtime, allow_unpromoted=self.allow_unpromoted)


@dataclass
class Status:
    """One model's part of /status.

    Attributes
    ----------
    uri : str
        As --model gave it.
    state : str
        DOWNLOADING, VERIFYING, WARMING, READY or REFUSED, of the version that it points to.
    reason : str
        Why that version is refused.
    registry : str
        What is wrong with the registry, or nothing.
    seen : float
        When the registry last answered, in seconds since 1970; 0 for a local folder or never.
    ledger : str
        How the alias differs from the ledger of promotions, or nothing.
    signed : str
        By which key the version in service is signed, and for which entry of the ledger; nothing without --trust.
    standing : dict
        How the version in service was judged, the ledger's last entries, the monitor's alarms; empty without a page.
    """

    uri: str
    state: str = "READY"
    version: str = ""
    reason: str = ""
    registry: str = ""
    seen: float = 0.0
    ledger: str = ""
    signed: str = ""
    standing: dict[str, Any] = field(default_factory=dict)


class Followed:
    """One model: what it points to, and what is served."""

    def __init__(self, key: str, uri: str, rules: Rules) -> None:
        self._rules = rules
        self._refused: ResolvedVersion | None = None
        self._served: ResolvedVersion | None = None
        self._held: ResolvedVersion | None = None
        self._signed: Signed | None = None
        self._failures = 0
        self._told: tuple[float, str] = (0.0, "")
        self.status = Status(uri)
        self.model = replace(self._first(), key=key)
        self.status.version = self.model.version
        self._seen_files = _files(self.model)
        self._open = _Open(self.model)

    @property
    def pause(self) -> float:
        """Seconds until the registry should be asked again, a little less than the bound."""
        longest = max(self._rules.poll_seconds, LONGEST_PAUSE)
        return min(self._rules.poll_seconds * 2.0**self._failures, longest) * random.uniform(0.9, 1)  # noqa: S311

    def _first(self) -> Model:
        """Return the version to start with; the last one known where the registry cannot be asked."""
        uri = self.status.uri
        if not is_remote(uri):
            model = local(uri, runtime=self._rules.runtime, trust=self._rules.trust)
            self.status.signed = "by the file beside it" if self._rules.trust else ""
            return model
        try:
            resolved = self._ask()
            self._vouch(resolved)
            model = self._fetched(resolved)
            self._remember(model, resolved)
        except RegistryDown as error:
            known = self._rules.recall(uri)
            if known is None:
                raise
            model, resolved = known
            logger.warning("%s; starting with version %s from the cache", error, model.version)
            self.status.registry = str(error)
            self._signed = self._sign_of(resolved, newest=None)
            self._check_files(model)
        self._served = resolved
        self.status.signed = self._signed.in_words if self._signed else ""
        return model

    def _sign_of(self, resolved: ResolvedVersion, *, newest: int | None) -> Signed | None:
        """Return what a trusted key signed of a version, None where nobody asks for that; raises NotTrusted."""
        uri, rules = self.status.uri, self._rules
        if not rules.trust:
            return None
        return signed_for(rules.trust, uri, resolved, newest=newest, seen=rules.cache.newest_entry(uri))

    def _fetched(self, resolved: ResolvedVersion) -> Model:
        """Return a version's files, as they were signed; raises ModelError, ModelNotFound or RegistryDown."""
        model = self._rules.fetch(resolved)
        try:
            self._check_files(model)
        except NotTrusted:  # what lies in the cache need not be what the registry has now
            self._rules.cache.drop(model)
            model = self._rules.fetch(resolved)
            self._check_files(model)
        return model

    def _check_files(self, model: Model) -> None:
        if self._signed:
            self._signed.check_files(Path(model.folder), whole=model.runtime == "pyfunc")

    def _remember(self, model: Model, resolved: ResolvedVersion) -> None:
        entry = self._signed.statement.sequence if self._signed else 0
        self._rules.cache.remember(self.status.uri, model, resolved, entry=entry)

    def _ask(self) -> ResolvedVersion:
        resolved = resolve(self.status.uri)
        self.status.registry = ""
        if resolved.name:  # a run or a model's id points to one thing for ever: nobody was asked
            self.status.seen = time.time()
        return resolved

    def _vouch(self, resolved: ResolvedVersion) -> None:
        """Hold the version to the ledger of its name, and to its signature; that is asked once for each version."""
        self._held = None
        said = vouched(resolved, by_alias="@" in self.status.uri)
        if said.moved and said.moved != self.status.ledger:
            logger.warning("%s", said.moved)
        self.status.ledger = said.moved
        self._signed = self._sign_of(resolved, newest=said.newest)
        self._held = resolved

    def follow(self, workers: Workers, publish: Any) -> None:
        """Ask the registry once, and bring what it points to into service."""
        try:
            resolved = self._ask()
            if resolved == self._refused:
                return
            self._take(resolved, workers, publish)
            self._failures = 0
        except ModelNotFound as error:  # the alias or the version is gone
            self.status.seen = time.time()
            self.status.registry = f"{error}; version {self.model.version} stays"
        except (RegistryDown, NotReady, UnsafeCache) as error:
            self._failures = min(self._failures + 1, 10)
            self.status.registry = f"{error}; version {self.model.version} stays"
            logger.warning("%s", self.status.registry)
            self._put_back()

    def tell(self) -> None:
        """Ask what people want to know of the version in service, once it is another one and now and then."""
        when, version = self._told
        is_new = version != self.model.version
        late = time.monotonic() - when > TOLD_SECONDS
        served = self._served
        if not self._rules.tells or not served or self.status.registry or not (is_new or late):
            return
        self._told = (time.monotonic(), self.model.version)
        try:
            self.status.standing = standing_of(served) if served.name else {}
        except Exception as error:  # whatever a registry may cause: it is shown, and nothing hangs on it
            logger.info(
                "%s: the page does not show how it was judged: %s", self.status.uri, type(error).__name__
            )
            self.status.standing = {} if is_new else self.status.standing

    def _put_back(self) -> None:
        """Keep the files for new workers where the cache was lost and the registry cannot be asked."""
        if not self.model.digest or self._intact():
            return
        with suppress(ModelError, CacheDown, UnsafeCache, OSError):  # it is tried again
            if self._rules.cache.put_back(self.status.uri, self._open.read(), self.model.digest):
                logger.warning("%s: its files were lost and are put back", self.status.uri)
                self._seen_files = _files(self.model)

    def _take(self, resolved: ResolvedVersion, workers: Workers, publish: Any) -> None:
        self._refused = None
        try:
            if resolved != self._held or self.status.ledger:  # what was said may have been entered meanwhile
                self._vouch(resolved)
            if resolved == self._served and self._intact():
                self._show("READY", resolved.version)
                return
            model = self._fetch(resolved, publish)
            if reason := workers.prepare(model):
                raise ModelError(reason)
        except (ModelError, ModelNotFound) as error:
            known = str(error) == self.status.reason
            self._refused = (
                resolved if self._held == resolved else None
            )  # else a ledger or a key may yet say more
            self._show("REFUSED", resolved.version, str(error))
            if known:
                return
            logger.error("version %s is refused, %s stays: %s", resolved.version, self.model.version, error)  # noqa: TRY400
            return
        workers.swap(model)
        self.model, self._seen_files, self._served = model, _files(model), resolved
        self._open.close()
        self._open = _Open(model)
        self._remember(replace(model, key=""), resolved)
        self.status.signed = self._signed.in_words if self._signed else ""
        self._show("READY", model.version)
        logger.info("%s: version %s is served", self.status.uri, model.version)

    def _fetch(self, resolved: ResolvedVersion, publish: Any) -> Model:
        here = bool(resolved.pinned and self._rules.cache.holds(resolved.pinned))
        self._show("VERIFYING" if here else "DOWNLOADING", resolved.version)
        publish()
        model = self._fetched(resolved)
        self._show("WARMING", resolved.version)
        publish()
        return replace(model, key=self.model.key)

    def _show(self, state: str, version: str, reason: str = "") -> None:
        self.status.state, self.status.version, self.status.reason = state, version, reason

    def _intact(self) -> bool:
        """Return whether the files that a new worker would load are those that were checked."""
        return _files(self.model) == self._seen_files


class _Open:
    """The files of the version in service, open: who deletes them takes their names, not what is in them."""

    def __init__(self, model: Model) -> None:
        paths = Path(model.folder).glob("*") if model.digest else ()
        self._files = {path.name: path.open("rb") for path in paths}
        self.close = weakref.finalize(self, _close_all, list(self._files.values()))

    def read(self) -> dict[str, bytes]:
        for file in self._files.values():
            file.seek(0)
        return {name: file.read() for name, file in self._files.items()}


def _close_all(files: list[BinaryIO]) -> None:
    for file in files:
        file.close()


def _files(model: Model) -> list[tuple[str, int, int]]:
    try:
        paths = sorted(Path(model.folder).glob("*"))
        return [(path.name, stat.st_size, stat.st_mtime_ns) for path in paths for stat in [path.stat()]]
    except OSError:  # somebody deletes them just now
        return []


def _step_back() -> None:
    """Let the workers go first: what this thread downloads and checks is in no hurry."""
    with suppress(OSError, AttributeError):  # only Linux knows a thread's own priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def follow(followed: list[Followed], workers: Workers) -> threading.Thread:
    """Follow all models in a thread of its own, until the process ends."""

    def publish() -> None:
        workers.tell_status({each.model.key: asdict(each.status) for each in followed})

    def run() -> None:
        _step_back()
        publish()
        for each in followed:
            each.tell()
        publish()
        due = {id(each): time.monotonic() + each.pause for each in followed if is_remote(each.status.uri)}
        while due:
            time.sleep(max(0.0, min(due.values()) - time.monotonic()))
            for each in followed:
                if due.get(id(each), float("inf")) <= time.monotonic():
                    _once(each)
                    due[id(each)] = time.monotonic() + each.pause
                    publish()

    def _once(each: Followed) -> None:
        try:
            each.follow(workers, publish)
            each.tell()
        except Exception:
            logger.exception("following %s failed; it goes on", each.status.uri)

    thread = threading.Thread(target=run, name="follower", daemon=True)
    thread.start()
    return thread
