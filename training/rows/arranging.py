"""The table of one training, arranged: in memory, or in parts where it is larger than that."""

from __future__ import annotations

from data.splits import SplitRule
from data.tables import Table
from data.tables.streams import Form
from training.commands import trainings
from training.console import Say
from training.rows.prepared import PreparedTable, arrange_held
from training.rows.streamed import arrange_streamed


def arrange(table: Table | Form, rule: SplitRule, config: trainings.TrainConfig, say: Say) -> PreparedTable:
    """Check and split a table by a rule, describe its training rows, and take a sample of a large one.

    Raises
    ------
    DataError, UsageError
        It cannot be learned from, or not as was asked.
    """
    make = arrange_streamed if isinstance(table, Form) else arrange_held
    return make(table, rule, config, say)  # type: ignore[arg-type]
