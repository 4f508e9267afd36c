"""What can go wrong between a table and a promoted version, apart from the table itself.

    TrainingError
    ├── UsageError             a parameter is unknown or has no such value
    ├── TrackingUnavailable    runs cannot be recorded
    ├── RegistryError          a version or an alias is not as asked
    │   ├── CannotScore
    │   ├── CannotWatch         it does not say what its rows looked like
    │   ├── MonitorBusy         another monitor is at it
    │   ├── CannotRetrain       captured rows lack what its trainings need
    │   └── ServerSilent
    ├── CannotCopy             a copy would take the place of a model of another origin
    ├── CannotSign             the key that should sign versions cannot be used
    ├── CannotAdopt            a file holds no model that can become a version
    ├── SearchFailed           no model but the mean could be fitted
    ├── SplitChanged           a retrain asks for another split than its name has
    ├── WeightChanged          a retrain, or a champion, counts rows otherwise than its name does
    ├── CapturesError          a folder of captures is not as asked
    │   └── CapturesBusy       somebody else works on it
    ├── DataChanged            a version cannot be rebuilt: its table holds other values now
    └── CalibrationError       a version cannot be calibrated anew
        ├── NotFresh           with rows that it was trained from
        └── TooFewToCalibrate

Faults of the table are `data.errors.DataError`. What one room alone raises stands in its own `errors.py`: of the
registry in `records`, of a version's folder in `versions`, of captures in `archive`, of the compiler in `compiling`.

Each class is a dataclass (`data.facts`): its facts are keywords and
attributes, its template says what, where, found and the repair.
"""

from __future__ import annotations

from pathlib import Path

from data.facts import FactError


class TrainingError(FactError):
    """Anything that the user can mend in how training was asked for, or where."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: stop, where Ctrl-C lets a search end with the best so far."""


class UsageError(TrainingError):
    """A parameter is unknown, lacks, or has no such value."""

    template = "{message}"
    message: str


class TrackingUnavailable(TrainingError):
    """The tracking server or folder takes no runs."""

    template = (
        "tracking at {uri} cannot be used: {reason}: start it, or set MLFLOW_TRACKING_URI to one that answers"
    )
    uri: str
    reason: str


class SearchFailed(TrainingError):
    """Everything that was tried failed, but for the training mean."""

    template = (
        "no model but the mean could be fitted: each of {tried} settings failed, most with: {reason}: "
        "see `mlflow run . --env-manager local -e check` for the table, or leave columns out with exclude=..."
    )
    tried: int
    reason: str


class RegistryError(TrainingError):
    """A version or an alias is not as asked."""


class CannotWatch(RegistryError):
    """A version does not say what its rows looked like."""

    template = "{name} version {version} cannot be watched: {why}: train a new version"
    name: str
    version: str
    why: str


class CannotRetrain(RegistryError):
    """Captured rows lack what the trainings of a name need."""

    template = "{name} cannot be trained from captured rows: {why}, which they lack: train it from a table"
    name: str
    why: str


class MonitorBusy(RegistryError):
    """Another monitor writes on the run of the same model."""

    template = (
        "another monitor is at work on this model, since {since}{process}: wait until it ends; one that died on "
        "another machine is taken over after {hours} hours, or at once if you delete the tag {tag} of run {run_id}"
    )
    since: str
    process: str
    hours: int
    tag: str
    run_id: str


class CannotScore(RegistryError):
    """A version needs a column that the rows at hand lack."""

    template = "{name} version {version} needs the column {column!r}: pass rows that have it"
    name: str
    version: str
    column: str


class ServerSilent(RegistryError):
    """The server does not answer with a version that is to be promoted."""

    template = "the server gives no answer with this version: {reason}"
    reason: str


class CannotSign(TrainingError):
    """The key that should sign versions cannot be used."""

    template = "SLIPWAY_SIGNING_KEY {key}: {reason}"
    key: Path
    reason: str


class CannotCopy(TrainingError):
    """A copy would take the place of a model of another origin, without a comparison."""

    template = (
        "the champion of {name}, version {version}, is no copy of {source}: copy with promote=never, and let "
        "-e promote compare the two on its rows"
    )
    name: str
    version: str
    source: str


class CannotAdopt(TrainingError):
    """A model that was fitted elsewhere cannot become a version."""

    template = "{model} {fault}: {repair}"
    model: str
    fault: str
    repair: str


class SplitChanged(TrainingError):
    """A retrain under a known name asks for another split."""

    template = (
        "{name} is split {stored} since version {version}, asked was {asked}: another split would test the "
        "champion on rows it was trained on; leave the split as it is, or train under a new name"
    )
    name: str
    version: str
    stored: str
    asked: str


class WeightChanged(TrainingError):
    """Two versions of a name count rows in different ways."""

    template = (
        "rows of {name} are {said} since version {version}, asked was {now}: errors of two kinds do not compare; "
        "leave the weight as it is, or train under a new name"
    )
    name: str
    version: str
    stored: str
    asked: str

    @property
    def said(self) -> str:
        """How the earlier version counts its rows."""
        return _weighted(self.stored)

    @property
    def now(self) -> str:
        """How this one would."""
        return _weighted(self.asked)


class DataChanged(TrainingError):
    """The table is no longer the one that a version was trained on."""

    template = (
        "{where} has fingerprint {found:.12}..., {name} version {version} was trained on {recorded:.12}...: "
        "its values, columns or rows changed; pass data=... with the table as it was"
    )
    where: str
    name: str
    version: str
    found: str
    recorded: str


class CalibrationError(TrainingError):
    """A version cannot be calibrated anew with these rows."""


class NotFresh(CalibrationError):
    """The rows are those that the version was trained from, or some of them are."""

    template = "{where} {found}: intervals from rows that the model knows are too narrow; {repair}"
    where: str
    found: str
    repair: str = "pass fresh labelled rows"


class TooFewToCalibrate(CalibrationError):
    """Too few rows have a target and a prediction."""

    template = "{where}: calibration needs at least {needed} rows with a target and a prediction, got {rows}: pass more"
    where: str
    rows: int
    needed: int


def _weighted(column: str) -> str:
    return f"weighted by {column}" if column else "unweighted"


class CapturesError(TrainingError):
    """A folder of captured predictions cannot be used as asked."""


class CapturesBusy(CapturesError):
    """Another process works on the folder and does not end."""

    template = (
        "captures {where!r}: another process has been compacting it for {minutes} minutes: wait until it ends"
    )
    where: str
    minutes: int
