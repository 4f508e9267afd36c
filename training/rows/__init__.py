"""A command's table: opened, checked, split as the name's versions share it, and described.

What needs scikit-learn or MLflow is imported at its first use: `check` starts without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from training.rows import contracted, in_words, parts, suspicions
from training.rows.named_columns import as_named
from training.rows.opened_table import open_table

if TYPE_CHECKING:
    from training.rows import charges
    from training.rows.arranging import arrange
    from training.rows.prepared import PreparedTable

__all__ = [
    "PreparedTable",
    "arrange",
    "as_named",
    "charges",
    "contracted",
    "in_words",
    "open_table",
    "parts",
    "suspicions",
]

__getattr__ = at_first_use(
    __name__,
    {
        "PreparedTable": "prepared",
        "arrange": "arranging",
    },
)
