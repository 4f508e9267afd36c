"""What can go wrong between a place that --model names and a version's files on this machine.

NotPromoted       no promotion pinned the version's digest
NotInLedger       the ledger of promotions says otherwise than the version's tags
LedgerUnreadable  that ledger was changed or deleted
RegistryDown      the registry cannot be asked
└── CacheDown     its answer cannot be kept
NotFetched        a version's files did not get into the folder that was named
UnsafeCache       others can write to the folder where versions are kept
ModelNotFound     no version stands where --model points

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from pathlib import Path

from serving.errors import ModelError, ServingError, SettingsError


class NotPromoted(ModelError):
    """No promotion pinned the version's digest."""

    template = (
        "{uri} was never promoted, so nobody vouches for its files: promote it, or pass --allow-unpromoted"
    )
    uri: str


class NotInLedger(ModelError):
    """The ledger of promotions says otherwise than the version's tags."""

    template = (
        "the ledger of {name} does not vouch for version {version}: {fault}: somebody else wrote its tags; "
        "go back with rollback, or set them to what `python -m training history --name {name}` expects"
    )
    name: str
    version: str
    fault: str


class LedgerUnreadable(ModelError):
    """The ledger of promotions was changed or deleted by somebody else."""

    template = "the ledger of {name} is broken: {fault}: {repair}"
    name: str
    fault: str
    repair: str


class RegistryDown(ServingError):
    """The registry cannot be asked, or the answer cannot be kept."""

    template = "{uri}: the registry cannot be used now: {reason}"
    uri: str
    reason: str


class CacheDown(RegistryDown):
    """What the registry has cannot be kept on this machine."""

    template = (
        "{uri}: the cache {folder} cannot be used now: {reason}: make room there, or pass another --cache"
    )
    folder: Path


class NotFetched(ServingError):
    """A version's files did not get into the folder that was named."""

    template = "{uri} was not fetched into {target}: {reason}"
    uri: str
    target: Path
    reason: str


class UnsafeCache(SettingsError):
    """Others can write to the folder where versions are kept, so what lies there proves nothing."""

    template = (
        "the cache {folder} {reason}: pass --cache {folder}/slipway, or make it yours (chown, chmod 700)"
    )
    folder: Path
    reason: str


class ModelNotFound(SettingsError):
    """No version stands where --model points."""

    template = "--model {uri}: {reason}"
    uri: str
    reason: str
