"""What can go wrong between a table and a promoted version, apart from the table itself.

    TrainingError
    ├── UsageError             a parameter is unknown or has no such value
    ├── TrackingUnavailable    runs cannot be recorded
    ├── ExperimentDeleted      the experiment of a model's name was deleted
    ├── RegistryError          a version or an alias is not as asked
    │   ├── NoSuchModel
    │   ├── NoSuchVersion
    │   ├── CannotScore
    │   ├── CannotWatch         it does not say what its rows looked like
    │   ├── MonitorBusy         another monitor is at it
    │   ├── CannotRetrain       captured rows lack what its trainings need
    │   ├── NotOurs
    │   ├── WrongFiles
    │   ├── Unvouched          nobody recorded the digest of all its files
    │   ├── NotLoadable        it asks for a loader, a format or code that is not ours
    │   ├── StockFailed
    │   ├── ServerSilent
    │   └── NoEarlierChampion
    ├── LedgerError            the record of promotions
    │   ├── LedgerBroken       somebody else changed or deleted it
    │   ├── TagsDiffer         a version's tags are not what it says
    │   └── Superseded         another writer was first
    ├── CannotCopy             a copy would take the place of a model of another origin
    ├── CannotSign             the key that should sign versions cannot be used
    ├── NotSigned              no trusted key signed the champion as it is
    ├── CannotAdopt            a file holds no model that can become a version
    ├── SearchFailed           no model but the mean could be fitted
    ├── SplitChanged           a retrain asks for another split than its name has
    ├── WeightChanged          a retrain, or a champion, counts rows otherwise than its name does
    ├── CapturesError          a folder of captures is not as asked
    │   ├── NoCaptures
    │   ├── NotCaptured        it holds nothing of this model
    │   ├── UnusableLabels     a table says what no label may say
    │   ├── UnusableKey        a column that no prediction can be found by
    │   ├── CapturesBusy       somebody else works on it
    │   └── CannotMirror       its files cannot be copied elsewhere
    ├── DataChanged            a version cannot be rebuilt: its table holds other values now
    └── CalibrationError       a version cannot be calibrated anew
        ├── NotFresh           with the rows that it was trained from
        └── TooFewToCalibrate

Faults of the table are `data.errors.DataError`. Each class is a dataclass (`data.facts`): its facts are keywords and
attributes, its template says what, where, found and the repair.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class ExperimentDeleted(TrainingError):
    """The experiment of a model's name was deleted in MLflow, so that it takes no runs and its name is not free."""

    template = (
        "the experiment {name!r} was deleted in MLflow: bring it back with `mlflow experiments restore "
        "--experiment-id {experiment_id}`, or name another one (--experiment-name, or MLFLOW_EXPERIMENT_NAME)"
    )
    name: str
    experiment_id: str


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


class NoSuchModel(RegistryError):
    """The registry has no model of this name."""

    template = (
        "there is no model {name!r} in the registry at {where}: train it, or set MLFLOW_TRACKING_URI to the one "
        "that has it"
    )
    name: str
    where: str


class NoSuchVersion(RegistryError):
    """The registry has no such model or version."""

    template = "registry at {where} has no {name} version {version}: {has}"
    name: str
    version: str
    known: Sequence[str]
    where: str

    @property
    def has(self) -> str:
        """The versions that there are, or what makes the first."""
        lacks_all = f"train {self.name} first, or set MLFLOW_TRACKING_URI"
        return f"it has {', '.join(self.known)}" if self.known else lacks_all


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


class NotOurs(RegistryError):
    """A version lacks what Slipway writes into each of its own."""

    template = (
        "{name} version {version} lacks {lacks}: it was not made by Slipway; train it here to promote it"
    )
    name: str
    version: str
    lacks: str


class WrongFiles(RegistryError):
    """A version's files are not those that it was registered with."""

    template = (
        "{name} version {version} has other files than it was registered with: {fault}: "
        "restore them, or train again; nothing of it was loaded or promoted"
    )
    name: str
    version: str
    fault: str


class Unvouched(RegistryError):
    """No digest of all files was recorded: the version was registered before there was one, or elsewhere."""

    template = (
        "{name} version {version} has no tag {tag}, so nobody vouches for what would be loaded: train again, or "
        "look at its files, and where you trust them set the tag to {found}"
    )
    name: str
    version: str
    tag: str
    found: str


class NotLoadable(RegistryError):
    """A version asks for a loader, a format, a type or code that is not ours."""

    template = "{name} version {version} is not loaded: {fault}, which Slipway does not write: train again"
    name: str
    version: str
    fault: str


class StockFailed(RegistryError):
    """Stock MLflow does not load or score a version that is to be promoted."""

    template = "stock MLflow gives no answer with this version: {reason}"
    reason: str


class ServerSilent(RegistryError):
    """The server does not answer with a version that is to be promoted."""

    template = "the server gives no answer with this version: {reason}"
    reason: str


class NoEarlierChampion(RegistryError):
    """There is nothing to roll back to."""

    template = "{now}: there is none to go back to; use promote"
    name: str
    version: str
    gone: Sequence[str]

    @property
    def now(self) -> str:
        """What became of the earlier champions."""
        if self.gone:
            return f"all earlier champions of {self.name} ({', '.join(self.gone)}) were deleted from the registry"
        if self.version:
            return f"version {self.version} is the first champion of {self.name}"
        return f"{self.name} has no champion"


class LedgerError(TrainingError):
    """The record of a model's promotions cannot be followed."""


class LedgerBroken(LedgerError):
    """The ledger was changed or deleted by somebody else."""


class TagsDiffer(LedgerError):
    """A version's tags are not what the ledger says of it."""


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


class NotSigned(TrainingError):
    """No trusted key signed the champion as it is."""


class Superseded(LedgerError):
    """Another writer was first: what was decided was decided on a history that is past."""

    template = (
        "another change of {name} came first, its champion is version {now} now: "
        "what was decided before has to be decided again"
    )
    name: str
    champion: str

    @property
    def now(self) -> str:
        """The champion's version, if there is one."""
        return self.champion or "none"


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
    """The rows are those that the version was trained from."""

    template = (
        "{where} is the table that {name} version {version} was trained from: intervals from rows that the model "
        "knows are too narrow; pass fresh labelled rows"
    )
    name: str
    version: str
    where: str


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


class NoCaptures(CapturesError):
    """There is nothing to read."""

    template = (
        "captures {where!r} {what}: pass the folder that the server was started with, "
        "`python -m serving --capture DIR`"
    )
    where: str
    what: str


class NotCaptured(CapturesError):
    """Nothing of a model was kept there."""

    template = "captures {where!r} hold no predictions of {name!r}{known}: check name and captures"
    where: str
    name: str
    names: Sequence[str]

    @property
    def known(self) -> str:
        """Whose there are."""
        return f", but of {', '.join(self.names)}" if self.names else ""


class UnusableLabels(CapturesError):
    """Labels hold what cannot be used; rows are counted from 1."""

    template = (
        "{where}{place}, {column}: expected {expected}, found {found}{more}: mend it, no label was kept"
    )
    where: str
    row: int | None
    column: str
    expected: str
    found: str
    count: int

    @property
    def place(self) -> str:
        """The row of the first fault, or nothing for a whole column."""
        return "" if self.row is None else f", row {self.row}"

    @property
    def more(self) -> str:
        """How many others there are."""
        return f" (and {self.count - 1:,} more)" if self.count > 1 else ""


class CannotMirror(CapturesError):
    """The Parquet files cannot be copied to an address."""

    template = (
        "to={uri!r} cannot be written: {reason}: check the address and its credentials; "
        "all that was compacted is in {where!r}"
    )
    uri: str
    reason: str
    where: str


class UnusableKey(CapturesError):
    """A column of a key was not kept as it was sent."""

    template = (
        "captures {where!r} have no column {column!r} of {name!r} as it was sent (it was left out, hashed, or is not "
        "one of its inputs): name a key of {has}"
    )
    where: str
    name: str
    column: str
    columns: Sequence[str]

    @property
    def has(self) -> str:
        """Which columns could be one."""
        return ", ".join(self.columns) or "columns that are kept, of which there is none"


class CapturesBusy(CapturesError):
    """Another process works on the folder and does not end."""

    template = (
        "captures {where!r}: another process has been compacting it for {minutes} minutes: wait until it ends"
    )
    where: str
    minutes: int
