"""What is wrong with a table: whether it can be learned from, keeps what was promised, or knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.checks import contract
    from data.checks.contract import Contract
    from data.checks.faults import column_faults
    from data.checks.leakage import leaks
    from data.checks.suspects import suspect_numbers, years_in_words
    from data.checks.trainable import Checked, check_table

__all__ = [
    "Checked",
    "Contract",
    "check_table",
    "column_faults",
    "contract",
    "leaks",
    "suspect_numbers",
    "years_in_words",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Checked": "trainable",
        "Contract": "contract",
        "check_table": "trainable",
        "column_faults": "faults",
        "leaks": "leakage",
        "suspect_numbers": "suspects",
        "years_in_words": "suspects",
    },
)
