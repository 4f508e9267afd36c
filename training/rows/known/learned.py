"""Whether a table holds rows that a version learned: told by a sketch of their content, without keeping them.

On a row that it learned a model errs less than on rows to come, so such rows say too little of its errors. A version
keeps the smallest hashes of the features and target of the rows that it learned (a bottom-k sketch: Cohen & Kaplan
2007, PODC), and rows of a table whose hash is as small are looked up there. Up to `MOST_KEPT` different rows all are
known; of more the share is estimated, with its standard error.

A row may equal a learned one by chance, where columns have few values. So only rows that were learned once are looked
up, and how many of these chance meets is told by those that were learned twice: of rows that are drawn like the n
learned ones, 2 f2 / n equal one of those seen once, where f2 were seen twice (Good 1953, Biometrika 40, p. 237). Where
next to no row was learned once, nothing can be told, and little is to be told: rows to come equal learned ones, too.

A row that was rounded, or changed in any column that the model reads, is another row here.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtrc, gammaincinv

from data.errors import DataError
from data.figures import percent
from data.schema import Kind, Schema
from data.tables import Table, row_digests
from training.console import Say
from training.errors import NotFresh, RegistryError
from training.records import model_registry

MOST_KEPT = 8_192
"""Different rows of a sketch, of 4 bytes each: 44 kB as it is written."""

LARGEST = 2**64 - 1

FEWEST_ONCE = 20
"""Rows learned once without which nothing is told."""

MOST_BY_CHANCE, MOST_MET = 0.5, 2.0
"""Of rows learned once that a row to come meets, where a learned one meets itself, and of all rows to come for each of
them: beyond that nothing is told."""

CHANCE = 0.001
"""With which a fresh table is taken for one with learned rows."""

SMALL_SHARE = 0.01
"""Of learned rows, which are let pass: intervals of coverage c then hold c - (1 - c) / 99 of rows to come at least."""


@dataclass(frozen=True)
class Shared:
    """How much of a table a version has learned.

    Attributes
    ----------
    share, error : float
        Of its rows, with the standard error.
    surely : bool
        Whether chance alone does not explain it.
    """

    share: float
    error: float
    surely: bool

    @property
    def matters(self) -> bool:
        """Whether figures on all rows would be flattered."""
        return self.surely and self.share > SMALL_SHARE

    def __str__(self) -> str:
        """Say the share, with two standard errors where it is an estimate."""
        doubt = f" (± {percent(2.0 * self.error, sign=False)})" if self.error >= 0.0005 else ""
        return f"{percent(self.share, sign=False)}{doubt}"


@dataclass(frozen=True)
class Sketch:
    """The smallest hashes of learned rows.

    Attributes
    ----------
    rows, of : int
        How many rows it was made from, and how many were learned: more where a large table was learned in parts.
    salt : str
        Of the hashes: other versions' tell nothing.
    below : int
        The largest hash that is kept, or could be.
    once : uint32 array
        The lower halves of the hashes that one row has, rising.
    twice : int
        How many hashes up to `below` two rows have.
    """

    rows: int
    of: int
    salt: str
    below: int
    once: NDArray[np.uint32]
    twice: int

    @classmethod
    def of_digests(cls, digests: NDArray[np.uint64], *, salt: str, of: int = 0) -> Sketch:
        """Return the sketch of rows, in whatever order they come."""
        hashes, counts = np.unique(digests, return_counts=True)
        is_whole = len(hashes) <= MOST_KEPT
        hashes, counts = hashes[:MOST_KEPT], counts[:MOST_KEPT]
        below = LARGEST if is_whole else int(hashes[-1])
        once, twice = np.sort(_lower(hashes[counts == 1])), int((counts == 2).sum())
        return cls(len(digests), max(of, len(digests)), salt, below, once, twice)

    def shared_with(self, digests: NDArray[np.uint64]) -> Shared | None:
        """Return how many rows with such hashes were learned; None where that cannot be told.

        Of the rows learned once a table that has the share q of all learned rows holds this share, and of the others
        those that its rows to come meet by chance: q + (1 - q) (1 - exp(-rate * fresh)), where a part `fresh` of its
        rows was not learned, and `rate` = 2 f2 / f1 times its rows for each that the sketch was made from.
        """
        kept, rows = len(self.once), len(digests)
        if self.of <= SMALL_SHARE * rows:
            return Shared(0.0, 0.0, surely=False)
        if not rows or kept < FEWEST_ONCE:
            return None
        scale, drawn = self.of / rows, 2.0 * rows / self.rows
        rate = drawn * self.twice / kept
        if rate * scale > MOST_BY_CHANCE or rate > MOST_MET:
            return None
        found = int(np.isin(self.once, _lower(digests[digests <= np.uint64(self.below)])).sum())
        grid = np.linspace(0.0, min(1.0, 1.0 / scale), 10_001)
        missed = np.exp(-rate * (1.0 - grid * scale))
        learned = float(np.interp(found / kept, 1.0 - (1.0 - grid) * missed, grid))
        fresh = 1.0 - learned * scale
        missed_by_chance = math.exp(-rate * fresh)
        by_sampling = learned * (1.0 - learned) * (1.0 / kept - 1.0 / self.of)
        by_chance = (1.0 - learned) * (1.0 - missed_by_chance) / kept
        by_rate = self.twice * ((1.0 - learned) * missed_by_chance * fresh * drawn / kept) ** 2
        slope = missed_by_chance * (1.0 - (1.0 - learned) * rate * scale)
        error = scale * math.sqrt(by_sampling + by_chance + by_rate) / slope
        return Shared(min(learned * scale, 1.0), error, self._surely(found, drawn))

    def _surely(self, found: int, drawn: float) -> bool:
        """Return whether so many rows are hardly found in a fresh table.

        The chance of that, over the rates that twins among the learned rows leave open (a gamma distribution).
        """
        rates = drawn * gammaincinv(self.twice + 1.0, (np.arange(4_000) + 0.5) / 4_000) / len(self.once)
        return found > 0 and bool(bdtrc(found - 1, len(self.once), -np.expm1(-rates)).mean() < CHANCE)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "rows": self.rows,
            "of": self.of,
            "salt": self.salt,
            "below": f"{self.below:016x}",
            "once": base64.b64encode(self.once.astype("<u4").tobytes()).decode(),
            "twice": self.twice,
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Sketch:
        """Read the JSON form back; raises KeyError, TypeError, ValueError or OverflowError where it is not one."""
        once = np.frombuffer(base64.b64decode(written["once"]), dtype="<u4").astype(np.uint32)
        rows, of, twice = (int(written[name]) for name in ("rows", "of", "twice"))
        below = int(written["below"], 16)
        if not (
            1 <= rows <= of <= LARGEST and 0 <= below <= LARGEST and 0 <= twice <= rows and len(once) <= rows
        ):
            raise ValueError("no rows have such a sketch")
        return cls(rows, of, str(written["salt"]), below, once, twice)


def sketch_of(table: Table, schema: Schema, places: NDArray[np.intp], *, salt: str, of: int) -> Sketch:
    """Return the sketch of some rows of a table, from so many that were learned."""
    return Sketch.of_digests(_digests(table, schema, salt)[places], salt=salt, of=of)


def shared(version: model_registry.Version, table: Table) -> Shared | None:
    """Return how many rows of a table a version has learned; None where that cannot be told.

    Parameters
    ----------
    table : Table
        With all columns that the version reads and its target, which each row has.
    """
    sketch = _kept(version)
    if sketch is None:
        return None
    return sketch.shared_with(_digests(table, version.schema, sketch.salt))


def left_out(version: model_registry.Version, table: Table, say: Say, *, fewest: int) -> Table:
    """Return the rows of a table that a version's errors can be told from: all, or those that its split holds out.

    Parameters
    ----------
    table : Table
        As for `shared`.
    fewest : int
        Rows that are needed.

    Raises
    ------
    NotFresh
        It has learned some, and its split cannot tell which.
    """
    which, found = f"{version.name} version {version.number}", shared(version, table)
    if found is None:
        say("warning", f"whether {which} learned some of these rows cannot be told: {_why_unknown(version)}")
    elif found.matters:
        return _held_out(version, table, found, say, fewest=fewest)
    elif found.surely:
        say("warning", f"{which} has learned {found} of the rows of {table.where}: too few to matter")
    return table


def warn(version: model_registry.Version, table: Table, say: Say) -> None:
    """Say where a version is watched on rows that it learned."""
    labelled = table.take(~np.isnan(table.numbers(version.target)))
    found = shared(version, labelled)
    if found is not None and found.matters:
        say(
            "warning",
            f"{version.name} version {version.number} has learned {found} of the rows of {table.where}: its errors on "
            "them are too small, and hide what these alarms are for; pass rows that came after its training",
        )


def _held_out(
    version: model_registry.Version, table: Table, found: Shared, say: Say, *, fewest: int
) -> Table:
    which = f"{version.name} version {version.number}"
    kept, why = table.take(np.zeros(0, dtype=np.intp)), ""
    try:
        kept = table.take(version.held_out(table))
    except (DataError, RegistryError) as error:
        why = str(error)
    if not why and len(kept) < fewest:
        why = f"its split holds out {len(kept)} of them, {fewest} are needed"
    again = shared(version, kept) if not why else None
    if again is not None and again.matters:
        why = f"it has learned {again} of those that its split holds out, too"
    if why:
        raise NotFresh(
            where=table.where,
            found=f"has rows that {which} has learned, {found} of them",
            repair=f"pass rows that came after its training; which these are cannot be told here: {why}",
        )
    say(
        "warning",
        f"{which} has learned {found} of the rows of {table.where}, and knows them too well: intervals are made from "
        f"the {len(kept):,} that its split holds out; pass newer rows alone to have them made from all of these",
    )
    return kept


def _why_unknown(version: model_registry.Version) -> str:
    if version.adopted:
        return "it was adopted from a file; from rows that it knows, intervals are too narrow"
    if not _path(version).is_file():
        return "it was made before versions kept a sketch of them; from rows that it knows, intervals are too narrow"
    if _kept(version) is None:
        return f"its {_path(version).name} cannot be read; from rows that it knows, intervals are too narrow"
    return "too many that it learned are equal to others"


def _kept(version: model_registry.Version) -> Sketch | None:
    """Return the sketch of a version; None where it has none, or one that somebody broke."""
    try:
        return Sketch.from_dict(json.loads(_path(version).read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _path(version: model_registry.Version) -> Path:
    from training.versions import flavor  # noqa: PLC0415 - seconds that labels do not have

    return version.folder / flavor.LEARNED


def _digests(table: Table, schema: Schema, salt: str) -> NDArray[np.uint64]:
    """Return the hashes of what is learned of rows, alike whatever format they come in."""
    kinds: dict[str, Kind | None] = {column.name: column.kind for column in schema.columns}
    kinds[schema.target] = "number"
    return row_digests(table, sorted(kinds), salt=salt, kinds=kinds, values="alike")


def _lower(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return hashes.astype(np.uint32)
