"""The table of one training, arranged: in memory, or in parts where it is larger than that."""

from __future__ import annotations

from dataclasses import replace

from data.splits import SplitRule
from data.tables import Table
from data.tables.streams import Form
from data.workers import Address
from training.commands import trainings
from training.console import Say
from training.rows import first
from training.rows.again import on_workers
from training.rows.prepared import PreparedTable, arrange_held
from training.rows.streamed import arrange_streamed


def arrange(table: Table | Form, rule: SplitRule, config: trainings.TrainConfig, say: Say) -> PreparedTable:
    """Check and split a table by a rule, describe its training rows, and take a sample of a large one.

    Raises
    ------
    DataError, UsageError
        It cannot be learned from, or not as was asked; or an engine that is asked for has no worker for it.
    """
    if not isinstance(table, Form):
        if config.engine:
            say(
                "engine", f"memory holds the table: it is learned here, and {config.engine} has nothing to do"
            )
        return arrange_held(table, rule, config, say)
    if not config.engine:
        return arrange_streamed(table, rule, config, say)
    address = Address.of(config.engine)
    if address.warning:
        say("warning", address.warning)
    on_workers.look(address)
    rows = arrange_streamed(table, rule, config, say, first.by_workers(address, say))
    return _shared(rows, table, address, say)


def _shared(rows: PreparedTable, form: Form, address: Address, say: Say) -> PreparedTable:
    """Return the same, with workers who read all rows for what learns them."""
    everything, parts = rows.everything, on_workers.parts_of(form)
    if not parts:
        say("engine", f"the table is one part: {address.word} has nothing to do")
        return rows
    if everything is None or rows.held_out is None:
        say("engine", f"no more rows are learned than the sample: {address.word} has nothing more to do")
        return rows
    rows_again = on_workers.PartedAgain(form.bare(), rows.split.rule, rows.schema, parts)
    here = rows.held_out.beside(everything)
    by_workers = on_workers.AgainByWorkers(address, rows_again, rows.held_out, here, say)
    return replace(rows, everything=replace(everything, elsewhere=by_workers))
