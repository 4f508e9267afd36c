"""What is asked of a version that is registered, or of the name that it has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal, Self

from data.redaction import redact_address
from training.commands.command import Command
from training.commands.parameters import Parameter
from training.commands.policies import BETTER, Policy
from training.commands.shared import (
    Encoding,
    FailIfKept,
    HeaderAsked,
    Memory,
    Name,
    Query,
    Reason,
    Result,
    Table,
    Version,
)
from training.commands.values import kinds, one_of
from training.errors import UsageError


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
    query: Query = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""
    memory: Memory = None
    policy: Policy = BETTER
    dry_run: Annotated[bool, Parameter(kinds.YES_OR_NO, "say what would be decided, change nothing")] = False
    force: Annotated[bool, Parameter(kinds.YES_OR_NO, "past the gate; needs a reason")] = False
    reason: Reason = ""
    result: Result = ""
    fail_if_kept: FailIfKept = False

    @property
    def job(self) -> str:
        """Which version is promoted, and whether that is only asked."""
        return super().job + " (dry run)" * self.dry_run

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
    query: Query = ""
    header: HeaderAsked = ""
    encoding: Encoding = ""
    memory: Memory = None


@dataclass(frozen=True)
class ReproduceConfig(Command):
    """One rebuilding of a version."""

    SUMMARY: ClassVar[str] = "rebuild a version and compare digests"

    name: Name
    version: Version
    data: Annotated[str, Parameter(kinds.TABLE_OF_THEN, "where the table is now; default: where it was")] = ""
    query: Query = ""
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
    trust: Annotated[
        str,
        Parameter(help="public keys in PEM, by comma: also whether one signed the champion", metavar="FILES"),
    ] = ""


@dataclass(frozen=True)
class CopyConfig(Command):
    """A version for another name or another registry."""

    SUMMARY: ClassVar[str] = "take a version to another name or registry, such as from staging to production"

    name: Name
    to: Annotated[str, Parameter(kinds.NAME, "the name there")]
    version: Annotated[str, Parameter(kinds.VERSION_OR_CHAMPION, "default: champion")] = ""
    to_registry: Annotated[
        str, Parameter(kinds.ADDRESS, "a tracking server's address; default: this one's", metavar="URI")
    ] = ""
    promote: Annotated[
        Literal["auto", "never"],
        Parameter(one_of(("auto", "never")), "whether it becomes champion there, as it was here"),
    ] = "auto"

    def settled(self) -> Self:
        """Return it as it is, where it leads elsewhere and tells no password."""
        if not self.to_registry and self.to == self.name:
            raise UsageError(message="to is the name itself: pass another name, or to_registry=URI")
        if redact_address(self.to_registry) != self.to_registry:
            raise UsageError(
                message="to_registry holds a password, which would be recorded: pass it as "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        return self


@dataclass(frozen=True)
class SignConfig(Command):
    """A signature for a version."""

    SUMMARY: ClassVar[str] = "sign a version with the key that SLIPWAY_SIGNING_KEY names"

    name: Name
    version: Annotated[str, Parameter(kinds.VERSION_OR_CHAMPION, "default: champion")] = ""
    output: Annotated[
        str, Parameter(help="also write the signature there, such as scorer.sig", metavar="FILE")
    ] = ""
