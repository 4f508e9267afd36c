"""What each command of `python -m training` is asked to do: one class for each, one field for each parameter.

The command line is made from these classes by `training.commands.parser`, what a run records by `as_params`; MLproject
has to say the same, and a test compares them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from data.cells import ReadOptions
from data.redaction import MASK, redact_address
from data.splits import METHODS, Method
from training.commands import kinds
from training.commands.kinds import one_of, one_of_or_unsaid
from training.commands.parameters import Parameter, written
from training.commands.shared import (
    Captures,
    CapturesOrNone,
    Decimal,
    Encoding,
    Excluded,
    FailIfKept,
    HeaderAsked,
    Missing,
    Name,
    Query,
    QueryAgain,
    Read,
    Reason,
    Result,
    Strict,
    Table,
    Units,
    Version,
    column,
)
from training.commands.words import NAME_PATTERN, columns
from training.errors import UsageError

PolicyName = Literal["better", "not-worse"]
POLICIES = ("better", "not-worse")

SPLIT_COLUMNS = {"time": "time_column", "group": "group_column", "column": "split_column"}
"""The parameter that names the column of a split's method."""

OF_THE_NAME = frozenset({"split", "holdout", "key", "weight", "header"})
"""Parameters of a training that the versions of its name decide, where nothing is said."""

AUTO_BUDGETS = ((1_000, 10.0), (10_000, 30.0), (math.inf, 60.0))
"""Below so many rows, so many seconds: 200 rows gave the same ridge after 5 s as after 60."""


class Command:
    """What all of them have."""

    SUMMARY: ClassVar[str]

    @classmethod
    def word(cls) -> str:
        """Return what it is called on the command line."""
        return cls.__name__.removesuffix("Config").lower()

    def settled(self) -> Self:
        """Return what follows from all parameters together; raises UsageError where they do not go together."""
        return self

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them, text by name, without a password."""
        return written(self)


class ReadsTexts:
    """A command that says how a table's texts are read."""

    read: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    decimal: str

    @property
    def asked(self) -> ReadOptions:
        """How the table's texts are to be read."""
        return ReadOptions(self.read, self.missing, self.decimal)


@dataclass(frozen=True)
class Policy:
    """What a challenger has to show.

    Attributes
    ----------
    name : {"better", "not-worse"}
        The interval of its change in RMSE lies below zero, or below `margin`.
    margin : float
        A share of the champion's RMSE.
    allow_schema_change : bool
        Whether requests that the champion accepts may be refused from now on.
    """

    name: Annotated[
        PolicyName, Parameter(one_of(POLICIES), f"one of {', '.join(POLICIES)}", called="policy")
    ] = "better"
    margin: Annotated[float, Parameter(kinds.MARGIN, "for not-worse: a share of the champion's RMSE")] = 0.01
    allow_schema_change: Annotated[bool, Parameter(kinds.YES_OR_NO)] = False

    @property
    def highest(self) -> float:
        """What the interval has to lie below."""
        return 0.0 if self.name == "better" else self.margin

    def __str__(self) -> str:
        """Name it for the ledger."""
        return self.name if self.name == "better" else f"{self.name} by {self.margin:.3g}"


@dataclass(frozen=True)
class TrainConfig(ReadsTexts, Command):
    """One training.

    Attributes
    ----------
    split, holdout, header
        Empty where nothing was said: then the name's versions decide, and only the first one by the default.
    time_budget : float or None
        None for what the number of rows asks for.
    monotonic : pairs of column and 1 or -1
        Directions that predictions must keep.
    weight : str
        Nothing for the column that the name's versions have, if any.
    """

    SUMMARY: ClassVar[str] = "train on a table and promote if it should be"

    data: Table
    target: Annotated[str, Parameter(kinds.COLUMN, "the column to predict")]
    name: Annotated[str, Parameter(kinds.NAME_OR_FILES, "registered model; default: the file's")] = ""
    query: Query = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""
    exclude: Excluded = ()
    key: Annotated[tuple[str, ...], Parameter(kinds.COLUMNS, "columns that identify a row, by comma")] = ()
    split: Annotated[
        Method | Literal[""], Parameter(one_of_or_unsaid(METHODS), f"one of {', '.join(METHODS)}")
    ] = ""
    time_column: Annotated[str, column("for split=time")] = ""
    group_column: Annotated[str, column("for split=group")] = ""
    split_column: Annotated[str, column("for split=column")] = ""
    holdout: Annotated[float | None, Parameter(kinds.SHARE_OR_UNSAID, "share of the rows to judge by")] = None
    seed: Annotated[int, Parameter(kinds.SEED)] = 0
    promote: Annotated[Literal["auto", "never"], Parameter(one_of(("auto", "never")))] = "auto"
    policy: Policy = Policy()
    units: Annotated[Units, Parameter(kinds.UNITS, "such as price=EUR,area=m²")] = ()
    time_budget: Annotated[
        float | None,
        Parameter(kinds.SECONDS, "for search and last fit; default: auto, by rows", metavar="SECONDS"),
    ] = None
    trials: Annotated[int, Parameter(kinds.COUNT, "settings tried at most")] = 200
    strict: Strict = False
    contract: Annotated[str, Parameter(help="a file that the table has to keep; see check")] = ""
    weight: Annotated[str, column("how much each row counts")] = ""
    monotonic: Annotated[
        tuple[tuple[str, int], ...], Parameter(kinds.DIRECTIONS, "such as price=+,age=-")
    ] = ()
    result: Result = ""
    fail_if_kept: FailIfKept = False
    read: Read = ()
    missing: Missing = ()
    decimal: Decimal = ""

    @property
    def split_by(self) -> str:
        """The column that the split's method needs, or nothing."""
        return self._split_columns().get(self.split, "")

    @property
    def first_split(self) -> Method:
        """The method of the first split of a name."""
        return self.split or "hash"

    @property
    def unit(self) -> str:
        """The target's unit, or nothing."""
        return dict(self.units).get(self.target, "")

    def seconds_for(self, rows: int) -> float:
        """Return the time budget for a table of so many rows."""
        if self.time_budget is not None:
            return self.time_budget
        return next(seconds for fewer_than, seconds in AUTO_BUDGETS if rows < fewer_than)

    def settled(self) -> Self:
        """Return it with the name of its file, where none was given."""
        for method, name in self._split_columns().items():
            if name and self.split != method:
                flag = f"{SPLIT_COLUMNS[method]}={name}"
                raise UsageError(message=f"{flag} goes with split={method}, found split={self.first_split}")
            if self.split == method and not name:
                raise UsageError(message=f"split={method} needs {SPLIT_COLUMNS[method]}")
        if self.key and self.first_split != "hash":
            raise UsageError(message=f"key goes with split=hash, found split={self.first_split}")
        if self.fail_if_kept and self.promote == "never":
            raise UsageError(
                message="fail_if_kept=true goes with promote=auto: promote=never promotes nothing"
            )
        return replace(self, name=self.name or _name_from(self.data))

    def said_params(self) -> dict[str, str]:
        """Return those that are known before the versions of the name are."""
        return {name: word for name, word in self.as_params().items() if word or name not in OF_THE_NAME}

    def as_params(self) -> dict[str, str]:
        """Return the parameters as MLproject names them; of the columns of a split only the one that is used."""
        unused = {SPLIT_COLUMNS[method] for method, name in self._split_columns().items() if not name}
        return {name: word for name, word in super().as_params().items() if name not in unused}

    def _split_columns(self) -> dict[str, str]:
        return {method: getattr(self, name) for method, name in SPLIT_COLUMNS.items()}


@dataclass(frozen=True)
class AdoptConfig(TrainConfig):
    """One model that was fitted elsewhere, and rows to hold it to: a training that searches nothing."""

    SUMMARY: ClassVar[str] = (
        "register a model that was fitted elsewhere; loading a pickle runs any code in it"
    )
    TAKES: ClassVar[tuple[str, ...]] = (
        *("model", "data", "target", "name", "query", "header", "encoding", "exclude", "units"),
        *("result", "fail_if_kept", "read", "missing", "decimal"),
    )
    """Of a training's parameters."""

    target: Annotated[str, Parameter(kinds.COLUMN, "what the model predicts")]
    name: Annotated[str, Parameter(kinds.NAME_OR_FILES, "default: the model's file")] = ""
    model: Annotated[str, Parameter(kinds.FILE)] = field(kw_only=True)

    @property
    def path(self) -> Path:
        """The model's file."""
        return Path(self.model)

    def settled(self) -> Self:
        """Return it with the name of the model's file, where none was given."""
        return replace(self, name=self.name or _name_from(self.model))


@dataclass(frozen=True)
class CheckConfig(ReadsTexts, Command):
    """One look at a table: whether anything is wrong with it, and whether it keeps its contract."""

    SUMMARY: ClassVar[str] = "say all that looks wrong with a table"

    data: Table
    contract: Annotated[str, Parameter(help="a file to hold the table to; written where there is none")] = ""
    target: Annotated[
        str,
        Parameter(kinds.COLUMN_OR_NONE, "also look for columns that know it; default: the contract's"),
    ] = ""
    query: Query = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""
    exclude: Annotated[
        tuple[str, ...], Parameter(kinds.COLUMNS, "columns that are not looked at, by comma")
    ] = ()
    time_column: Annotated[str, column("also look for what is known too late")] = ""
    units: Annotated[Units, Parameter(kinds.UNITS, "for a new contract, such as price=EUR,area=m²")] = ()
    weight: Annotated[str, column("also whether it can weigh rows")] = ""
    strict: Strict = False
    read: Read = ()
    missing: Missing = ()
    decimal: Decimal = ""


@dataclass(frozen=True)
class PromoteConfig(Command):
    """One promotion by hand."""

    SUMMARY: ClassVar[str] = "promote a version by hand"

    name: Name
    version: Version
    data: Annotated[
        str,
        Parameter(kinds.TABLE_OF_THEN, "rows to judge by; default: those it was trained from"),
    ] = ""
    query: QueryAgain = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""
    policy: Policy = Policy()
    dry_run: Annotated[bool, Parameter(kinds.YES_OR_NO, "say what would be decided, change nothing")] = False
    force: Annotated[bool, Parameter(kinds.YES_OR_NO, "past the gate; needs a reason")] = False
    reason: Reason = ""
    result: Result = ""
    fail_if_kept: FailIfKept = False

    def settled(self) -> Self:
        """Return it as it is, where its parameters go together."""
        if self.force and not self.reason.strip():
            raise UsageError(message="force=true passes the gate by, so it needs reason=..., which is kept")
        if self.reason and not self.force:
            raise UsageError(message="reason goes with force=true")
        if self.force and self.dry_run:
            raise UsageError(message="dry_run=true and force=true exclude each other")
        return self


@dataclass(frozen=True)
class RecalibrateConfig(Command):
    """New intervals for a version, from fresh labelled rows."""

    SUMMARY: ClassVar[str] = "new intervals from fresh labelled rows, the same model"

    name: Name
    data: Table
    version: Annotated[str, Parameter(kinds.VERSION_OR_CHAMPION, "default: champion")] = ""
    query: QueryAgain = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""


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
class FeedbackConfig(Command):
    """Labels from a table, for a folder of captures."""

    SUMMARY: ClassVar[str] = "say what became of predictions, from a table"

    name: Name
    captures: Captures
    data: Table
    query: QueryAgain = ""
    header: HeaderAsked = "auto"
    encoding: Encoding = ""


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
    retraining: Retraining = Retraining()
    query: QueryAgain = ""
    header: HeaderAsked = "auto"
    encoding: Encoding = ""

    def settled(self) -> Self:
        """Return it as it is, where its parameters go together."""
        if bool(self.data.strip()) == bool(self.captures.strip()):
            raise UsageError(message="pass either captures=DIR or data=TABLE with time_column=COLUMN")
        if bool(self.data) != bool(self.time_column):
            raise UsageError(message="data goes with time_column, the column that says when each row was")
        self.retraining.check(self.captures, self.version)
        return self


@dataclass(frozen=True)
class ReproduceConfig(Command):
    """One rebuilding of a version."""

    SUMMARY: ClassVar[str] = "rebuild a version and compare digests"

    name: Name
    version: Version
    data: Annotated[str, Parameter(kinds.TABLE_OF_THEN, "where the table is now; default: where it was")] = ""
    query: QueryAgain = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""


@dataclass(frozen=True)
class RollbackConfig(Command):
    """One way back to the champion before."""

    SUMMARY: ClassVar[str] = "go back to the champion before"

    name: Name
    reason: Reason = ""


@dataclass(frozen=True)
class HistoryConfig(Command):
    """A question to the ledger: all of it, or who was champion at a moment."""

    SUMMARY: ClassVar[str] = "who was champion, and why"

    name: Name
    at: Annotated[datetime | None, Parameter(kinds.MOMENT, "a moment in UTC: 2026-11-01T12:00")] = None


COMMANDS: tuple[type[Command], ...] = (
    TrainConfig,
    AdoptConfig,
    CheckConfig,
    PromoteConfig,
    RecalibrateConfig,
    CompactConfig,
    FeedbackConfig,
    MonitorConfig,
    ReproduceConfig,
    RollbackConfig,
    HistoryConfig,
)
"""In the order of --help."""


def _name_from(file: str) -> str:
    stem = Path(file).name.split(".")[0]
    if "://" in file or not NAME_PATTERN.fullmatch(stem):
        where = file.split("://", maxsplit=1)[0]
        raise UsageError(message=f"name is missing and cannot be taken from {where}: pass name=...")
    return stem


def asked_then(recorded: Mapping[str, str]) -> ReadOptions:
    """Return how a version's run read its table, by the parameters that it recorded."""
    read, missing = (columns(recorded.get(name, "")) for name in ("read", "missing"))
    pairs = [pair.rpartition(":") for pair in read]
    return ReadOptions(
        tuple((column, words) for column, _, words in pairs), missing, recorded.get("decimal", "")
    )


def refuse_masked(*recorded: str) -> None:
    """Raise UsageError where a record of the table's address or query lacks the password that it was read with."""
    if any(MASK in text for text in recorded):
        raise UsageError(
            message="the table's address or query was recorded without its password: pass data=... and query=... again"
        )


def job_of(config: Command) -> str:
    """Return what was asked for in a few words, such as `check houses.csv` or `promote houses 3`."""
    if isinstance(config, CheckConfig):
        return f"{config.word()} {Path(redact_address(config.data)).name}"
    if isinstance(config, CompactConfig):
        return f"{config.word()} {Path(config.captures).name}"
    about = f"{config.word()} {getattr(config, 'name', '')} {getattr(config, 'version', '')}".rstrip()
    return f"{about} (dry run)" if getattr(config, "dry_run", False) else about
