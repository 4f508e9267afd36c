"""What is wrong with a table: whether it can be learned from, looks odd, or knows the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.checks import leakage, trainable
    from data.checks.faults import TableFault, column_faults, rows_of
    from data.checks.suspects import suspect_numbers, years_in_words
    from data.checks.trainable import FEWEST_ROWS, Checked, check_table

__all__ = [
    "FEWEST_ROWS",
    "Checked",
    "TableFault",
    "check_table",
    "column_faults",
    "leakage",
    "rows_of",
    "suspect_numbers",
    "trainable",
    "years_in_words",
]

__getattr__ = at_first_use(
    __name__,
    {
        "FEWEST_ROWS": "trainable",
        "Checked": "trainable",
        "TableFault": "faults",
        "check_table": "trainable",
        "column_faults": "faults",
        "rows_of": "faults",
        "suspect_numbers": "suspects",
        "years_in_words": "suspects",
    },
)
