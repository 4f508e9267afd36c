"""What is asked of a table alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from data.redaction import redact_address
from training.commands.command import Command, ReadsTexts
from training.commands.parameters import Parameter
from training.commands.shared import (
    Decimal,
    Encoding,
    HeaderAsked,
    Memory,
    Missing,
    Query,
    Read,
    Strict,
    Table,
    Units,
    column,
)
from training.commands.values import kinds


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
    memory: Memory = None
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

    @property
    def job(self) -> str:
        """Which table is looked at."""
        return f"{self.word()} {Path(redact_address(self.data)).name}"
