"""What the server counts, for Prometheus; right across workers through prometheus-client's shared files.

The parent sets PROMETHEUS_MULTIPROC_DIR before a worker imports this module. Answers are added up
here and written every `FLUSH_SECONDS`: four writes for each would be a tenth of a small request.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client import values as prometheus_values
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from serving.errors import NoMetrics

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
PROTOCOLS = ("mlflow", "explain", "simple", "v1", "v2", "grpc")
STATES = ("DOWNLOADING", "VERIFYING", "WARMING", "READY", "REFUSED", "DRAINING")
FLUSH_SECONDS = 0.2
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemostrecent")
FILE_BYTES = 2**16
"""prometheus-client's own first size of each file."""

logger = logging.getLogger(__name__)


class _Roomy(MmapedDict):
    """A file of figures that takes its room before it grows; raises OSError where there is none."""

    def _init_value(self, key: str) -> None:
        needed = self._used + len(key.encode()) + 32
        if needed > self._capacity:
            os.posix_fallocate(self._f.fileno(), 0, max(2 * self._capacity, 2 * needed))
        super()._init_value(key)  # type: ignore[no-untyped-call]


def _take_room(folder: Path) -> None:
    """Make this worker's files; raises OSError where there is no room for them."""
    made = [folder / f"{kind}_{os.getpid()}.db" for kind in KINDS]
    try:
        for path in made:
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
    except OSError:
        for path in made:
            path.unlink(missing_ok=True)
        raise


def _counts() -> bool:
    """Have the figures written to files where there is room; return whether they are."""
    folder = os.environ.get(FOLDER)
    try:
        if folder:
            _take_room(Path(folder))
            setattr(prometheus_values, "MmapedDict", _Roomy)  # noqa: B010 - it has no option for this
            return True
    except OSError as error:
        logger.error("worker %d serves without metrics: %s: %s", os.getpid(), folder, error.strerror)  # noqa: TRY400
    prometheus_values.ValueClass = prometheus_values.MutexValue
    return False


@dataclass
class _Tally:
    """Answers of one protocol that are not written yet."""

    rows: int = 0
    extra: int = 0
    versions: Counts[tuple[str, str]] = field(default_factory=Counts)
    seconds: list[float] = field(default_factory=list)


class Telemetry:
    """One worker's counters."""

    def __init__(self) -> None:
        self._counts, self._full = _counts(), False
        registry = CollectorRegistry()
        self._requests = Counter("slipway_requests", "Answers", ["protocol", "status"], registry=registry)
        self._errors = Counter("slipway_errors", "Requests refused or failed", ["kind"], registry=registry)
        self._columns = {
            noun: Counter(f"slipway_{noun}", text, ["column"], registry=registry)
            for noun, text in (
                ("unseen_categories", "Unseen categories scored"),
                ("unexpected_gaps", "Nulls where training saw none"),
            )
        }
        seconds = Histogram(
            "slipway_seconds",
            "From the request's head to its answer",
            ["protocol"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._rows = Counter("slipway_rows", "Rows scored", registry=registry)
        self._extra = Counter(
            "slipway_extra_columns", "Columns sent that the model ignores", registry=registry
        )
        self.in_flight = Gauge(
            "slipway_in_flight", "Requests being answered", multiprocess_mode="livesum", registry=registry
        )
        self._answers = Counter(
            "slipway_answers", "Predictions given", ["model", "version"], registry=registry
        )
        self._info, self._state, self._stale, self._agrees, self._signed = (
            Gauge(f"slipway_{noun}", text, labels, multiprocess_mode="livemostrecent", registry=registry)
            for noun, text, labels in (
                ("model", "The model served", ["name", "version", "digest"]),
                ("state", "State of the version that --model points to", ["model", "state"]),
                ("registry_stale_seconds", "Since the registry last answered", ["model"]),
                ("ledger_agrees", "Whether the ledger says so too, where there is one", ["model"]),
                ("signed", "Whether a key of --trust signed the version served", ["model"]),
            )
        )
        self._seconds = {protocol: seconds.labels(protocol) for protocol in PROTOCOLS}
        self._good = {protocol: self._requests.labels(protocol, "200") for protocol in PROTOCOLS}
        self._tallies = {protocol: _Tally() for protocol in PROTOCOLS}
        self._flush_due = False

    @contextmanager
    def _if_there_is_room(self) -> Iterator[None]:
        """Leave a figure out that needs more room than there is; say so once."""
        try:
            yield
        except OSError as error:
            if not self._full:
                logger.error("worker %d leaves figures out of /metrics: %s", os.getpid(), error.strerror)  # noqa: TRY400
            self._full = True

    def serves(self, new: tuple[str, str, str], old: tuple[str, str, str] | None = None) -> None:
        """Show name, version and digest of what is served now, and no longer what was."""
        with self._if_there_is_room():
            if old:
                self._info.labels(*old).set(0)
            self._info.labels(*new).set(1)

    def show_state(
        self, model: str, state: str, seconds: float | None, *, agrees: bool, signed: bool
    ) -> None:
        """Show a model's state, whether ledger and signature vouch for it, and when the registry last answered."""
        with self._if_there_is_room():
            self._agrees.labels(model).set(agrees)
            self._signed.labels(model).set(signed)
            for each in STATES:
                self._state.labels(model, each).set(each == state)
            if seconds is not None:
                self._stale.labels(model).set(seconds)

    def scored(self, protocol: str, rows: int, seconds: float, *, extra: int, of: tuple[str, str]) -> None:
        """Count one request answered by a model's version; called on the event loop."""
        tally = self._tallies[protocol]
        tally.versions[of] += 1
        tally.rows += rows
        tally.extra += extra
        tally.seconds.append(seconds)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what was added up."""
        self._flush_due = False
        for protocol, tally in self._tallies.items():
            if tally.seconds:
                self._tallies[protocol] = _Tally()
                self._good[protocol].inc(len(tally.seconds))
                with self._if_there_is_room():
                    for version, count in tally.versions.items():
                        self._answers.labels(*version).inc(count)
                self._rows.inc(tally.rows)
                self._extra.inc(tally.extra)
                _observe(self._seconds[protocol], tally.seconds)

    def noticed(self, noun: str, counts: Mapping[str, int]) -> None:
        """Count unseen categories or unexpected gaps; the columns are the schema's, so few."""
        with self._if_there_is_room():
            for column, count in counts.items():
                self._columns[noun].labels(column).inc(count)

    def took(self, protocol: str, status: int) -> None:
        """Count one request that brought something else than rows."""
        with self._if_there_is_room():
            self._requests.labels(protocol, str(status)).inc()

    def refused(self, protocol: str, status: int, kind: str) -> None:
        """Count one request that got no predictions."""
        with self._if_there_is_room():
            self._requests.labels(protocol, str(status)).inc()
            self._errors.labels(kind).inc()

    def exposition(self) -> bytes:
        """Return all workers' figures as Prometheus reads them; raises NoMetrics."""
        if not self._counts:
            raise NoMetrics()
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def dropped(self, kind: str) -> None:
        """Count a connection that ended in the middle of an answer."""
        self._errors.labels(kind).inc()


def _observe(histogram: Histogram, values: list[float]) -> None:
    """Add many values at once, which prometheus-client's own `observe` would take 1.5 us each for."""
    histogram._sum.inc(sum(values))
    for bucket, count in Counts(bisect_left(BUCKETS, value) for value in values).items():
        histogram._buckets[bucket].inc(count)
