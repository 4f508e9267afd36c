"""Which table a name is trained from: the last training's, or a first one, tried before anything is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from data.sources import Source
from training.commands import trainings
from training.progress import Say
from training.records import model_registry, tracking
from training.rows.opened_table import header_of, open_table


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


def _last_params(name: str) -> Mapping[str, str]:
    """Return where the table of the name's last training is and how it is written; nothing for the first one."""
    made = [version for version in model_registry.versions(name) if version.run_id]
    return tracking.recorded_params(made[-1].run_id) if made else {}
