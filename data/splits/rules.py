"""How the rows of a table are told apart: a rule that is stored with each version and used again by the next.

    hash     a salted hash of the key columns (the default)
    repeat   a salted hash of all columns, the target too, and of how many equal rows there are above:
             repeated measurements are dealt to the sides one by one
    group    a salted hash of one column: all rows of a group stand on one side
    time     the newest rows are held out, those before them calibrate
    column   the table says it: train, calibration or holdout

It knows no rows: they are dealt to the sides by `data.splits.splitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from data.schema import Kind
from data.splits.dealing import Cuts

Method = Literal["hash", "repeat", "group", "time", "column"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True)
class SplitRule:
    """How rows are told apart.

    Attributes
    ----------
    method : {"hash", "repeat", "group", "time", "column"}
        See the module.
    columns : tuple of str
        The key columns of `hash`; the one column of the others.
    holdout, calibration : float
        Shares of the rows (of the groups, for `group`).
    salt : str
        Makes two names split one table differently.
    keyed : bool
        Whether the user named the key columns of `hash`, which are then no features.
    cuts : Cuts or None
        Where the sides of a hash part; None before the first split of a name has decided it.
    kinds : mapping of str to Kind or None
        What each of `columns` was at the first split, None where every cell was empty; nothing in rules from
        before they were kept, whose cells count as what this table says they are.
    values : {"alike", "as written"}
        Whether a value counts alike in every format or, in those old rules, a date and a text as they stand.
    """

    method: Method
    columns: tuple[str, ...]
    holdout: float = 0.15
    calibration: float = 0.15
    salt: str = ""
    keyed: bool = False
    cuts: Cuts | None = None
    kinds: Mapping[str, Kind | None] = field(default_factory=dict)
    values: Literal["alike", "as written"] = "as written"

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares of training, calibration and holdout rows."""
        return (1.0 - self.holdout - self.calibration, self.calibration, self.holdout)

    @property
    def usual_cuts(self) -> Cuts:
        """Where the sides part if chance serves them all."""
        return Cuts(0.0, 1.0 - self.holdout - self.calibration, 1.0 - self.holdout)

    @property
    def is_of_rows(self) -> bool:
        """Whether rows as they are decide, and no column that the user named."""
        return self.method in ("hash", "repeat") and not self.keyed

    @property
    def reserved(self) -> tuple[str, ...]:
        """The columns that decide the side and so are no features."""
        return () if self.is_of_rows else self.columns

    @property
    def grouping(self) -> tuple[str, ...]:
        """The columns that make rows with equal values alike, as the user said; none where each stands for itself."""
        keyed = self.method == "hash" and self.keyed
        return self.columns if keyed or self.method == "group" else ()

    def __str__(self) -> str:
        """Say it in words, as in "by a hash of 9 columns"."""
        repeats = ", repeats dealt" if self.method == "repeat" else ""
        if self.is_of_rows:
            count = len(self.columns)
            return f"by a hash of {count} column{'s' * (count > 1)}{repeats}, {self.holdout:.0%} held out"
        words = {"group": "by group", "time": "by time", "column": "by column"}
        if self.method not in words:
            return f"by a hash of {', '.join(self.columns)}{repeats}, {self.holdout:.0%} held out"
        return f"{words[self.method]} {', '.join(self.columns)}, {self.holdout:.0%} held out"

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        written = asdict(self) | {"columns": list(self.columns)}
        if self.kinds:
            written["kinds"] = [self.kinds[name] for name in self.columns]
        return written | {"cuts": list(self.cuts) if self.cuts else None}

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> SplitRule:
        """Read the JSON form back; versions from before there were cuts have the usual ones."""
        kinds = dict(zip(written["columns"], written.get("kinds") or (), strict=False))
        rule = cls(**{**written, "columns": tuple(written["columns"]), "cuts": None, "kinds": kinds})
        kept = written.get("cuts")
        return replace(rule, cuts=Cuts(*kept) if kept else rule.usual_cuts)

    @property
    def remedy(self) -> str:
        """What would give each side its rows, in words."""
        ways = {
            "group": "pass rows of more groups, or another group_column",
            "time": "pass rows of more moments",
            "hash": "pass more rows, deal repeated ones with split=repeat, or name an id with key=...",
        }
        return f"{ways.get(self.method, 'pass more rows')}, or say the sides with split=column"
