"""Why a folder of captured predictions cannot be used as asked.

NoCaptures
NotCaptured     it holds nothing of this model
UnusableLabels  a table says what no label may say
CannotMirror    its files cannot be copied elsewhere
UnusableKey     a column that no prediction can be found by

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from collections.abc import Sequence

from training.errors import CapturesError


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
