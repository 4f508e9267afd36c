"""What a training is asked to do, of rows or of a model that was fitted elsewhere."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from data.redaction import STORES
from data.splits import METHODS, Method
from training.commands.command import Command, ReadsTexts
from training.commands.parameters import Parameter
from training.commands.policies import BETTER, Policy
from training.commands.shared import (
    Decimal,
    Encoding,
    Excluded,
    Explain,
    FailIfKept,
    HeaderAsked,
    Missing,
    Query,
    Read,
    Result,
    Strict,
    Table,
    Units,
    column,
)
from training.commands.values import NAME_PATTERN, kinds, one_of, one_of_or_unsaid
from training.errors import UsageError

VERSION_BEHIND = re.compile(r"@v?\d+$")
"""Behind the name of a Delta or Iceberg table, as in `flights@3`."""

SPLIT_COLUMNS = {"time": "time_column", "group": "group_column", "column": "split_column"}
"""The parameter that names the column of a split's method."""

OF_THE_NAME = frozenset({"split", "holdout", "key", "weight", "header", "memory"})
"""Parameters of a training that the versions of its name, or its table, decide, where nothing is said."""

AUTO_BUDGETS = ((1_000, 10.0), (10_000, 30.0), (math.inf, 60.0))
"""Below so many rows, so many seconds: 200 rows gave the same ridge after 5 s as after 60."""


@dataclass(frozen=True)
class TrainConfig(ReadsTexts, Command):
    """One training.

    Attributes
    ----------
    split, holdout, header
        Empty where nothing was said: then the name's versions decide, and only the first one by the default.
    time_budget : float or None
        None for what the number of rows asks for.
    memory : float or None
        Bytes; None for half of what is free.
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
        Method | Literal[""],
        Parameter(
            one_of_or_unsaid(METHODS),
            f"one of {', '.join(METHODS)}; default: as the name's versions, hash for a new name",
        ),
    ] = ""
    time_column: Annotated[
        str, column("when each row was: for split=time, and for the monitor under any split that is said")
    ] = ""
    group_column: Annotated[str, column("for split=group")] = ""
    split_column: Annotated[str, column("for split=column")] = ""
    holdout: Annotated[
        float | None,
        Parameter(
            kinds.SHARE_OR_UNSAID,
            "share of the rows to judge by; default: as the name's versions, 0.15 for a new name",
        ),
    ] = None
    seed: Annotated[int, Parameter(kinds.SEED, "of the models; it moves no row to another side")] = 0
    promote: Annotated[
        Literal["auto", "never"],
        Parameter(one_of(("auto", "never")), "auto: if the gate agrees; never: only register"),
    ] = "auto"
    policy: Policy = BETTER
    units: Annotated[Units, Parameter(kinds.UNITS, "such as price=EUR,area=m²")] = ()
    time_budget: Annotated[
        float | None,
        Parameter(
            kinds.SECONDS,
            "for all that comes after reading; default: auto, by rows",
            metavar="SECONDS",
        ),
    ] = None
    memory: Annotated[
        float | None,
        Parameter(
            kinds.SIZE,
            "that the table may take, such as 2GB: a larger one is read in parts; default: auto, half of what is free",
            metavar="SIZE",
        ),
    ] = None
    engine: Annotated[
        str,
        Parameter(
            kinds.ENGINE_OR_NONE,
            "dask, dask://host:8786 or tls://host:8786: whose workers read all rows of a table larger than memory",
        ),
    ] = ""
    trials: Annotated[int, Parameter(kinds.COUNT, "settings tried at most")] = 200
    strict: Strict = False
    explain: Explain = True
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
            if name and self.split != method and not (method == "time" and self.split):
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
        unsaid = {name for name in OF_THE_NAME if not getattr(self, name)}
        return {name: word for name, word in self.as_params().items() if name not in unsaid}

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
        *("model", "data", "target", "name", "query", "header", "encoding", "memory", "exclude"),
        *("units", "result", "fail_if_kept", "read", "missing", "decimal", "explain"),
    )
    """Of a training's parameters."""

    target: Annotated[str, Parameter(kinds.COLUMN, "what the model predicts")]
    name: Annotated[str, Parameter(kinds.NAME_OR_FILES, "default: the model's file")] = ""
    model: Annotated[
        str, Parameter(kinds.FILE, "what joblib.dump wrote, or a .keras file", metavar="FILE")
    ] = field(kw_only=True)

    @property
    def path(self) -> Path:
        """The model's file."""
        return Path(self.model)

    def settled(self) -> Self:
        """Return it with the name of the model's file, where none was given."""
        return replace(self, name=self.name or _name_from(self.model))


def _name_from(file: str) -> str:
    stem = VERSION_BEHIND.sub("", Path(file).name.split(".")[0])
    scheme, is_address, _ = file.partition("://")
    if (is_address and scheme.lower() not in STORES) or not NAME_PATTERN.fullmatch(stem):
        where = file.split("://", maxsplit=1)[0]
        raise UsageError(message=f"name is missing and cannot be taken from {where}: pass name=...")
    return stem
