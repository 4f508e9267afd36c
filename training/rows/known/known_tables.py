"""Which table a name is trained from: the last training's, or a first one, tried before anything is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from data.cells import ReadOptions
from data.sources import Source
from data.tables import Kinds, Table, load_kept
from data.tables.streams import Form, bytes_in_memory, form_of, free_memory
from training.commands import trainings
from training.console import Say
from training.records import model_registry, tag_names, tracking
from training.rows.known import how_read
from training.rows.opened_table import header_of, open_table

COPIES = 5
"""How many times a training holds a table at its peak: as Arrow has it, as a frame, by sides."""

FREE_SHARE, MEGABYTE = 0.5, 1e6
"""Of the memory that is free, for a training that is not told how much it may take."""


def refuse_mistyped(config: trainings.TrainConfig) -> None:
    """Raise what is wrong with the place of the first table of a name, before an experiment is made for it."""
    tracking.check_tracking()
    if not model_registry.is_known(config.name):
        open_table(config, lambda *_: None)


def open_again(config: trainings.TrainConfig, say: Say) -> tuple[trainings.TrainConfig, Source]:
    """Open a name's table as the last one was, where nothing else is said; the training says then how that is."""
    before = _last_params(config.name)
    source = open_table(config, say, before)
    return replace(config, header=header_of(config, before) if source.is_text else "auto"), source


def read(source: Source, kinds: Kinds, asked: ReadOptions, memory: float | None) -> Table | Form:
    """Read a table, or find out what its columns are where it takes more than so much memory.

    Parameters
    ----------
    memory : float or None
        Bytes; None for half of what is free.

    Raises
    ------
    DataError
        The table cannot be read.
    """
    most = FREE_SHARE * free_memory() // MEGABYTE * MEGABYTE if memory is None else memory
    if COPIES * bytes_in_memory(source) <= most:
        return load_kept(source, kinds, asked)
    return form_of(source, kinds, asked, most_bytes=most)


def head_of(read: Table | Form) -> Table:
    """Return what says the columns' names, kinds and readings: the table, or its first rows."""
    return read if isinstance(read, Table) else read.head


def with_memory(config: trainings.TrainConfig, read: Table | Form) -> trainings.TrainConfig:
    """Return the training as if it had asked for the memory that its table was too large for: so it can be repeated."""
    return config if isinstance(read, Table) else replace(config, memory=read.most_bytes)


def _last_params(name: str) -> Mapping[str, str]:
    """Return where the table of the name's last training is and how it is written; nothing for the first one.

    Captured rows are written by us: how they are says nothing of a person's table.
    """
    made = [version for version in model_registry.versions(name) if version.run_id]
    by_people = [version for version in made if not version.tags.get(tag_names.LEARNED_UNTIL)]
    return how_read.recorded_of((by_people or made)[-1]) if made else {}
