"""What a user promises about a table: proposed from one, kept in a file, and what later tables are held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.contracts.contract import Contract, Promise
    from data.contracts.files import read, write
    from data.contracts.holding import violations
    from data.contracts.proposing import propose, widened

__all__ = ["Contract", "Promise", "propose", "read", "violations", "widened", "write"]

__getattr__ = at_first_use(
    __name__,
    {
        "Contract": "contract",
        "Promise": "contract",
        "propose": "proposing",
        "read": "files",
        "violations": "holding",
        "widened": "proposing",
        "write": "files",
    },
)
