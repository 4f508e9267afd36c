"""A training from Python: the same job as `mlflow run .`, and what came of it as a value that a notebook shows."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from data.own_files import own_folder
from slipway.asking import Model, load
from slipway.errors import NotATable
from slipway.given import as_arrow
from training.commands import parse, trainings
from training.console.progress import Console
from training.console.startup import set_environment
from training.errors import UsageError
from training.jobs import result
from training.signing import given_key

PAGE_HEIGHT = 720
"""Pixels of the card in a notebook."""


@dataclass(frozen=True)
class Trained:
    """What a training came to; a notebook shows its model card.

    Attributes
    ----------
    name, version : str
        Of the registered model.
    promoted : bool
        Whether it is the champion now.
    decision, reason : str
        What the gate decided, and why.
    figures : mapping of str to float
        Such as `holdout_rmse`, in the target's unit.
    run_id : str
        The training's run in MLflow.
    """

    name: str
    version: str
    promoted: bool
    decision: str
    reason: str
    figures: Mapping[str, float] = field(repr=False)
    run_id: str = field(repr=False)

    def load(self) -> Model:
        """Return the model, to ask it in this process."""
        return load(f"models:/{self.name}/{self.version}")

    @property
    def card(self) -> str:
        """The model card, a whole HTML page."""
        from training.records import tracking  # noqa: PLC0415 - MLflow takes seconds

        return tracking.recorded_text(self.run_id, "card.html")

    def _repr_html_(self) -> str:
        """Show the card in a frame of its own, so that its style is not the notebook's."""
        page = html.escape(self.card, quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox width="100%" height="{PAGE_HEIGHT}" style="border:0"></iframe>'
        )


def train(
    data: pd.DataFrame | pa.Table | str | Path,
    *,
    target: str,
    name: str = "",
    quiet: bool = False,
    **more: Any,
) -> Trained:
    """Train on a table, register the model, and promote it if it is better than the champion.

    Parameters
    ----------
    data : DataFrame, pyarrow Table, or what the parameter `data` names: a path, a glob, a folder, a URL
        A frame's index is no column.
    target : str
        The column to predict.
    name : str
        Of the registered model; a file's name where nothing is said.
    quiet : bool
        Print no lines of progress.
    **more
        The other parameters of the entry point `main`, as text or as Python has them: `time_budget=20`,
        `units={"price": "EUR"}`, `exclude=["id"]`, `strict=True`. Not `fail_if_kept`: the answer has `promoted`.

    Raises
    ------
    DataError, TrainingError
        With what, where, found and how to mend it; then nothing is registered.
    """
    set_environment()
    asked = {"target": target, "name": name} | more
    if isinstance(data, str | Path):
        return _train(asked | {"data": str(data)}, quiet=quiet)
    if not name:
        raise NotATable(reason="they have no name, as a file has", repair='pass name="houses"')
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        path = Path(folder) / "frame.parquet"
        try:
            pa_parquet.write_table(as_arrow(data), path)
        except pa.ArrowException as error:
            reason = str(error).splitlines()[0]
            raise NotATable(reason=reason, repair="leave that column out") from error
        return _train(asked | {"data": str(path)}, quiet=quiet)


def _train(values: Mapping[str, Any], *, quiet: bool) -> Trained:
    config = parse(trainings.TrainConfig.words(values))
    assert isinstance(config, trainings.TrainConfig)
    if config.fail_if_kept:
        raise UsageError(message="fail_if_kept is for commands: ask whether what train returns is promoted")
    result.make_room(config.result)
    given_key()  # one that cannot be used is told of before the search, not after it
    from training.jobs import train as job  # noqa: PLC0415 - scikit-learn and MLflow take seconds

    console = Console()
    outcome = job.train(config, _nothing) if quiet else job.train(config, console.say, console.watch)
    result.write(config.result, outcome)
    return Trained(
        outcome.version.name,
        outcome.version.number,
        outcome.decision.promoted,
        outcome.decision.word,
        outcome.decision.reason,
        dict(outcome.figures),
        outcome.run_id,
    )


def _nothing(_step: str, _outcome: str) -> None:
    """Say nothing."""
