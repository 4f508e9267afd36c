"""What is asked of predictions that were given: kept, told what became of them, watched, learned from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from training.commands.command import Command
from training.commands.parameters import Parameter
from training.commands.shared import (
    Captures,
    CapturesOrNone,
    Encoding,
    HeaderAsked,
    Name,
    Query,
    Table,
    column,
)
from training.commands.values import kinds, one_of
from training.errors import UsageError


@dataclass(frozen=True)
class CompactConfig(Command):
    """One pass over a folder of captures."""

    SUMMARY: ClassVar[str] = "make Parquet of what servers kept of their predictions"

    captures: Captures
    keep: Annotated[
        timedelta | None, Parameter(kinds.AGE_OR_NONE, "delete what is older, such as 90d; default: nothing")
    ] = None
    to: Annotated[
        str, Parameter(kinds.ADDRESS, "also copy the files there, such as s3://bucket/folder", metavar="URI")
    ] = ""

    @property
    def job(self) -> str:
        """Which folder is passed over."""
        return f"{self.word()} {Path(self.captures).name}"


@dataclass(frozen=True)
class FeedbackConfig(Command):
    """Labels from a table, for a folder of captures."""

    SUMMARY: ClassVar[str] = "say what became of predictions, from a table"

    name: Name
    captures: Captures
    data: Table
    key: Annotated[
        tuple[str, ...],
        Parameter(kinds.COLUMNS, "a table without ids: inputs of the model that tell which row it was"),
    ] = ()
    query: Query = ""
    header: HeaderAsked = "auto"
    encoding: Encoding = ""


@dataclass(frozen=True)
class Retraining:
    """Whether the monitor may train a challenger, from what, and what it is worth.

    Attributes
    ----------
    learn : {"auto", "captured", "both"}
        Captured rows alone, or with the first table; `auto` is the first after an alarm, the second otherwise.
    value, cost : float or None
        Of one unit of mean absolute error on one row, and of a retraining.
    horizon : timedelta
        For which a new version would serve.
    """

    retrain: Annotated[
        Literal["auto", "never"],
        Parameter(one_of(("auto", "never")), "train a challenger where captured rows ask for it"),
    ] = "never"
    learn: Annotated[
        Literal["auto", "captured", "both"],
        Parameter(one_of(("auto", "captured", "both")), "from captured rows, or with the first table"),
    ] = "auto"
    contract: Annotated[str, Parameter(help="a file that captured rows have to keep; see check")] = ""
    max_age: Annotated[
        timedelta | None, Parameter(kinds.AGE_OR_NONE, "retrain a champion that is older, such as 90d")
    ] = None
    value: Annotated[
        float | None, Parameter(kinds.AMOUNT_OR_NONE, "of one unit of mean absolute error on one row")
    ] = None
    cost: Annotated[float | None, Parameter(kinds.AMOUNT_OR_NONE, "of one retraining")] = None
    horizon: Annotated[
        timedelta | None, Parameter(kinds.AGE_OR_NONE, "for which a new version would serve")
    ] = timedelta(days=30)

    def check(self, captures: str, version: str) -> None:
        """Raise UsageError where its parameters do not go together, or with those of the monitor."""
        said = [name for name in ("contract", "max_age", "value", "cost") if getattr(self, name)]
        if self.retrain == "never" and said:
            raise UsageError(message=f"{said[0]} goes with retrain=auto")
        if self.retrain == "auto" and not captures:
            raise UsageError(message="retrain=auto learns from captured rows: pass captures=DIR")
        if self.retrain == "auto" and version:
            raise UsageError(message="retrain=auto follows the champion: leave version out")
        if (self.value is None) != (self.cost is None):
            raise UsageError(message="value and cost go together: pass both or none")


@dataclass(frozen=True)
class MonitorConfig(Command):
    """Later days of rows, for the watch over a version."""

    SUMMARY: ClassVar[str] = "watch a version on later days of rows"

    name: Name
    data: Annotated[str, Parameter(kinds.TABLE_OF_THEN, "a table; or pass captures")] = ""
    time_column: Annotated[str, column("that says when each row of the table was")] = ""
    captures: CapturesOrNone = ""
    mature: Annotated[
        timedelta, Parameter(kinds.AGE, "captures: how long after a day its outcomes are waited for")
    ] = timedelta(days=1)
    exclude: Annotated[
        tuple[str, ...], Parameter(kinds.COLUMNS, "not watched: month, weekday and the like")
    ] = ()
    independent: Annotated[
        bool,
        Parameter(kinds.YES_OR_NO, "rows of a day have nothing in common: use up to 1,000 a day, not one"),
    ] = False
    tolerance: Annotated[
        float,
        Parameter(kinds.TOLERANCE, "inputs: how much a share may rise, 0.05 hides a PSI up to about 0.1"),
    ] = 0.0
    metrics: Annotated[
        str,
        Parameter(kinds.TEXTFILE, "the latest figures for Prometheus' node exporter", metavar="FILE.prom"),
    ] = ""
    version: Annotated[str, Parameter(kinds.VERSION_OR_CHAMPION, "default: champion")] = ""
    follow: Annotated[bool, Parameter(kinds.YES_OR_NO, "stay, and look again each night")] = False
    every: Annotated[
        timedelta, Parameter(kinds.SPAN, "follow: how often, in place of each night, such as 6h")
    ] = timedelta(days=1)
    retraining: Retraining = Retraining()
    query: Query = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""

    def settled(self) -> Self:
        """Return it as it is, where its parameters go together."""
        if bool(self.data.strip()) == bool(self.captures.strip()):
            raise UsageError(message="pass either captures=DIR or data=TABLE with time_column=COLUMN")
        if bool(self.data) != bool(self.time_column):
            raise UsageError(message="data goes with time_column, the column that says when each row was")
        if not self.follow and self.every != type(self).every:
            raise UsageError(message="every goes with follow=true")
        self.retraining.check(self.captures, self.version)
        return self
