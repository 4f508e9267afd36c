"""How the table of a version was read: kept with the version's files, and asked for here alone.

Every column counts, and not only those of the schema: the side of a row follows from columns that are no features, its
weight from another, the fingerprint from all. Versions from before this was kept say it of the columns of their schema,
and of those that the contract of their training promised; the others are found out as they were then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from data.cells import Reading, ReadOptions
from data.tables import Kinds, Table
from training.commands import rereading
from training.records import model_registry, tracking
from training.records.errors import WrongFiles

PLAIN = {"number": Reading("number"), "category": Reading("text")}
"""How a column without a reading was read, of kinds that other columns, or options, might make another of."""


@dataclass(frozen=True)
class HowRead:
    """What the columns of a table were, and how their texts were read where they are more than plain."""

    kinds: Kinds
    readings: Mapping[str, Reading]

    @property
    def of_the_same_table(self) -> dict[str, Reading]:
        """How the same cells give the same values again, whatever was said then."""
        return {name: PLAIN[kind] for name, kind in self.kinds.items() if kind in PLAIN} | dict(self.readings)

    @property
    def of_later_tables(self) -> dict[str, Reading]:
        """What a later training keeps: words may have become numbers, but for those that split."""
        numbers = {name: PLAIN[kind] for name, kind in self.kinds.items() if kind == "number"}
        return numbers | dict(self.readings)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        readings = {name: reading.as_dict() for name, reading in self.readings.items()}
        return {"kinds": dict(self.kinds), "readings": readings}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> HowRead:
        """Read the JSON form back; raises KeyError, TypeError, ValueError or AttributeError where it is not one."""
        readings = {name: Reading.from_dict(each) for name, each in written["readings"].items()}
        return cls(dict(written["kinds"]), readings)


def of_table(table: Table) -> HowRead:
    """Return how a table was read."""
    return HowRead(table.kinds, table.readings)


def of_version(version: model_registry.Version) -> HowRead:
    """Return how the table of a version's training was read.

    Raises
    ------
    FilesAway
        The version's files cannot be fetched now.
    WrongFiles
        They are not those that were registered, or a later release wrote them.
    """
    from training.versions import flavor  # noqa: PLC0415 - seconds that labels do not have

    path = version.folder / flavor.READ if version.files else None
    if path is None or not path.is_file():
        return _from_before(version)
    try:
        return HowRead.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        fault = f"{flavor.READ} cannot be read: {error}"
        raise WrongFiles(name=version.name, version=version.number, fault=fault) from error


def again(version: model_registry.Version, recorded: Mapping[str, str]) -> ReadOptions:
    """Return how to read the table of a version's training, or another one like it, as the training did.

    Parameters
    ----------
    recorded : dict of str
        See `recorded_of`.
    """
    known = of_version(version).of_the_same_table
    return replace(rereading.asked_then(recorded), known=known)


def recorded_of(version: model_registry.Version) -> dict[str, str]:
    """Return what the run that a version's model was trained in recorded of its table; its own run, if that is gone.

    New intervals come from a run that trained nothing. Nothing where neither run is there.
    """
    return tracking.recorded_params(version.trained_in, version.run_id)


def _from_before(version: model_registry.Version) -> HowRead:
    where = f"the contract of {version.name} version {version.number}"
    recorded = tracking.recorded_contract(version.trained_in, where=where)
    promised = recorded[0].columns if recorded else {}
    readings = {name: each.reading for name, each in promised.items() if each.reading}
    kinds = {name: each.kind for name, each in promised.items()}
    return HowRead(kinds, readings | version.schema.readings)
