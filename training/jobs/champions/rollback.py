"""Back to the champion before, without what only a training needs."""

from __future__ import annotations

from collections.abc import Callable

from training.commands import registered
from training.records import ledger, tracking


def roll_back(config: registered.RollbackConfig, say: Callable[[str, str], None]) -> None:
    """Move the alias, enter it into the ledger, and say both; raises LedgerError or RegistryError."""
    tracking.check_tracking(must_exist=True)
    entry = ledger.rollback(config.name, reason=config.reason)
    say("rollback", f"{entry.name}: version {entry.from_version or 'none'} -> {entry.to_version}")
    say("ledger", f"entry {entry.sequence}: {entry.reason}")
