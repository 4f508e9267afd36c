"""What can go wrong with the registry's versions and aliases, and with the ledger of promotions.

ExperimentDeleted  the experiment of a model's name was deleted
NoSuchModel
NoSuchVersion
NotOurs
WrongFiles
FilesAway          they cannot be fetched now
Unvouched          nobody recorded the digest of all its files
NoEarlierChampion
LedgerError        the record of promotions
├── LedgerBroken   somebody else changed or deleted it
├── TagsDiffer     a version's tags are not what it says
└── Superseded     another writer was first
NotSigned          no trusted key signed the champion as it is

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.errors import RegistryError, TrainingError


class ExperimentDeleted(TrainingError):
    """The experiment of a model's name was deleted in MLflow, so that it takes no runs and its name is not free."""

    template = (
        "the experiment {name!r} was deleted in MLflow: bring it back with `mlflow experiments restore "
        "--experiment-id {experiment_id}`, or name another one (--experiment-name, or MLFLOW_EXPERIMENT_NAME)"
    )
    name: str
    experiment_id: str


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


class FilesAway(RegistryError):
    """A version's files cannot be fetched now; nobody knows whether they are what they were."""

    template = (
        "the files of {name} version {version} cannot be fetched: {fault}: ask again once the artifact store answers; "
        "nothing was promoted or refused"
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
