"""What can go wrong between a table and a promoted version, apart from the table itself.

    TrainingError
    ├── UsageError             a parameter is unknown or has no such value
    ├── TrackingUnavailable    runs cannot be recorded
    ├── ExperimentDeleted      the experiment of a model's name was deleted
    ├── RegistryError          a version or an alias is not as asked
    │   ├── NoSuchModel
    │   ├── NoSuchVersion
    │   ├── CannotScore
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
    ├── CannotAdopt            a file holds no model that can become a version
    ├── SearchFailed           no model but the mean could be fitted
    ├── SplitChanged           a retrain asks for another split than its name has
    ├── WeightChanged          a retrain, or a champion, counts rows otherwise than its name does
    └── DataChanged            a version cannot be rebuilt: its table holds other values now

Faults of the table are `data.errors.DataError`. Texts say what, where, found and the repair.
"""

from __future__ import annotations

from typing import Any

from data.redaction import redact


class TrainingError(Exception):
    """Anything that the user can mend in how training was asked for, or where."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(redact(text))
        self.__dict__.update(facts)


class Terminated(KeyboardInterrupt):
    """SIGTERM: stop, where Ctrl-C lets a search end with the best so far."""


class UsageError(TrainingError):
    """A parameter is unknown, lacks, or has no such value."""

    def __init__(self, *, message: str) -> None:
        super().__init__(message)


class TrackingUnavailable(TrainingError):
    """The tracking server or folder takes no runs."""

    def __init__(self, *, uri: str, reason: str) -> None:
        super().__init__(
            f"tracking at {uri} cannot be used: {reason}: start it, or set MLFLOW_TRACKING_URI to one that answers",
            uri=uri,
            reason=reason,
        )


class ExperimentDeleted(TrainingError):
    """The experiment of a model's name was deleted in MLflow, so that it takes no runs and its name is not free."""

    def __init__(self, *, name: str, experiment_id: str) -> None:
        super().__init__(
            f"the experiment {name!r} was deleted in MLflow: bring it back with `mlflow experiments restore "
            f"--experiment-id {experiment_id}`, or name another one (--experiment-name, or MLFLOW_EXPERIMENT_NAME)",
            name=name,
        )


class SearchFailed(TrainingError):
    """Everything that was tried failed, but for the training mean."""

    def __init__(self, *, tried: int, reason: str) -> None:
        super().__init__(
            f"no model but the mean could be fitted: each of {tried} settings failed, most with: {reason}: "
            "see `mlflow run . --env-manager local -e check` for the table, or leave columns out with exclude=...",
            tried=tried,
            reason=reason,
        )


class RegistryError(TrainingError):
    """A version or an alias is not as asked."""


class NoSuchModel(RegistryError):
    """The registry has no model of this name."""

    def __init__(self, *, name: str, where: str) -> None:
        super().__init__(
            f"there is no model {name!r} in the registry at {where}: train it, or set MLFLOW_TRACKING_URI to the one "
            "that has it",
            name=name,
        )


class NoSuchVersion(RegistryError):
    """The registry has no such model or version."""

    def __init__(self, *, name: str, version: str, known: list[str], where: str) -> None:
        has = f"it has {', '.join(known)}" if known else f"train {name} first, or set MLFLOW_TRACKING_URI"
        super().__init__(
            f"registry at {where} has no {name} version {version}: {has}", name=name, version=version
        )


class CannotScore(RegistryError):
    """A version needs a column that the rows at hand lack."""

    def __init__(self, *, name: str, version: str, column: str) -> None:
        super().__init__(
            f"{name} version {version} needs the column {column!r}: pass rows that have it",
            name=name,
            version=version,
            column=column,
        )


class NotOurs(RegistryError):
    """A version lacks what Slipway writes into each of its own."""

    def __init__(self, *, name: str, version: str, lacks: str) -> None:
        super().__init__(
            f"{name} version {version} lacks {lacks}: it was not made by Slipway; train it here to promote it",
            name=name,
            version=version,
            lacks=lacks,
        )


class WrongFiles(RegistryError):
    """A version's files are not those that it was registered with."""

    def __init__(self, *, name: str, version: str, fault: str) -> None:
        super().__init__(
            f"{name} version {version} has other files than it was registered with: {fault}: "
            "restore them, or train again; nothing of it was loaded or promoted",
            name=name,
            version=version,
            fault=fault,
        )


class Unvouched(RegistryError):
    """No digest of all files was recorded: the version was registered before there was one, or elsewhere."""

    def __init__(self, *, name: str, version: str, tag: str, found: str) -> None:
        super().__init__(
            f"{name} version {version} has no tag {tag}, so nobody vouches for what would be loaded: train again, or "
            f"look at its files, and where you trust them set the tag to {found}",
            name=name,
            version=version,
            found=found,
        )


class NotLoadable(RegistryError):
    """A version asks for a loader, a format, a type or code that is not ours."""

    def __init__(self, *, name: str, version: str, fault: str) -> None:
        super().__init__(
            f"{name} version {version} is not loaded: {fault}, which Slipway does not write: train again",
            name=name,
            version=version,
            fault=fault,
        )


class StockFailed(RegistryError):
    """Stock MLflow does not load or score a version that is to be promoted."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"stock MLflow gives no answer with this version: {reason}", reason=reason)


class ServerSilent(RegistryError):
    """The server does not answer with a version that is to be promoted."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the server gives no answer with this version: {reason}", reason=reason)


class NoEarlierChampion(RegistryError):
    """There is nothing to roll back to."""

    def __init__(self, *, name: str, version: str, gone: list[str]) -> None:
        now = f"version {version} is the first champion of {name}" if version else f"{name} has no champion"
        if gone:
            now = f"all earlier champions of {name} ({', '.join(gone)}) were deleted from the registry"
        super().__init__(f"{now}: there is none to go back to; use promote", name=name, version=version)


class LedgerError(TrainingError):
    """The record of a model's promotions cannot be followed."""


class LedgerBroken(LedgerError):
    """The ledger was changed or deleted by somebody else."""

    def __init__(self, *, text: str) -> None:
        super().__init__(text)


class TagsDiffer(LedgerError):
    """A version's tags are not what the ledger says of it."""

    def __init__(self, *, text: str) -> None:
        super().__init__(text)


class Superseded(LedgerError):
    """Another writer was first: what was decided was decided on a history that is past."""

    def __init__(self, *, name: str, champion: str) -> None:
        super().__init__(
            f"another change of {name} came first, its champion is version {champion or 'none'} now: "
            "what was decided before has to be decided again",
            name=name,
            champion=champion,
        )


class CannotAdopt(TrainingError):
    """A model that was fitted elsewhere cannot become a version."""

    def __init__(self, *, model: str, fault: str, repair: str) -> None:
        super().__init__(f"{model} {fault}: {repair}", model=model, fault=fault)


class SplitChanged(TrainingError):
    """A retrain under a known name asks for another split."""

    def __init__(self, *, name: str, version: str, stored: str, asked: str) -> None:
        super().__init__(
            f"{name} is split {stored} since version {version}, asked was {asked}: another split would test the "
            "champion on rows it was trained on; leave the split as it is, or train under a new name",
            name=name,
            version=version,
        )


class WeightChanged(TrainingError):
    """Two versions of a name count rows in different ways."""

    def __init__(self, *, name: str, version: str, stored: str, asked: str) -> None:
        said, now = (f"weighted by {column}" if column else "unweighted" for column in (stored, asked))
        super().__init__(
            f"rows of {name} are {said} since version {version}, asked was {now}: errors of two kinds do not compare; "
            f"leave the weight as it is, or train under a new name",
            name=name,
            version=version,
            stored=stored,
            asked=asked,
        )


class DataChanged(TrainingError):
    """The table is no longer the one that a version was trained on."""

    def __init__(self, *, where: str, name: str, version: str, found: str, recorded: str) -> None:
        super().__init__(
            f"{where} has fingerprint {found[:12]}..., {name} version {version} was trained on {recorded[:12]}...: "
            "its values, columns or rows changed; pass data=... with the table as it was",
            found=found,
            recorded=recorded,
        )


class CalibrationError(TrainingError):
    """A version cannot be calibrated anew with these rows."""


class NotFresh(CalibrationError):
    """The rows are those that the version was trained from."""

    def __init__(self, *, name: str, version: str, where: str) -> None:
        super().__init__(
            f"{where} is the table that {name} version {version} was trained from: intervals from rows that the model "
            "knows are too narrow; pass fresh labelled rows",
            where=where,
        )


class TooFewToCalibrate(CalibrationError):
    """Too few rows have a target and a prediction."""

    def __init__(self, *, where: str, rows: int, needed: int) -> None:
        super().__init__(
            f"{where}: calibration needs at least {needed} rows with a target and a prediction, got {rows}: pass more",
            rows=rows,
            needed=needed,
        )
