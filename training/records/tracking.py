"""One training as one MLflow run: opened, filled and closed here.

Which experiment it is kept in, and what becomes of the run that `mlflow run` opened, `training.records.runs`
says. Nothing here decides anything. Whatever goes wrong, the run ends FAILED (KILLED when interrupted) with the
reason as the tag `slipway.reason`.
"""

from __future__ import annotations

import logging
import shlex
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import requests
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.entities import Metric, Param, RunData, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.utils.time import get_current_time_millis

from data import contracts
from data.contracts import Contract
from data.own_files import own_folder
from data.redaction import MASK, addresses_around, redact, redact_address
from data.spreadsheets import without_formulas
from training.console import denial_of, failures
from training.errors import TrackingUnavailable
from training.records import tag_names
from training.records.inserts import insert
from training.records.runs import experiments, is_gone, this_process, views

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONTRACT = "contract.yaml"
"""Where a training keeps the contract that its table kept."""

TYPED_CELLS = 200_000
"""In the first rows, which MLflow infers the types of a table's columns from; it looks at each one by itself."""

PATIENCE = 5.0
"""Seconds that a tracking server has to say that it is there; MLflow's own retries take minutes."""


@dataclass
class WaitingMetrics:
    """Metrics that are logged together with the model that they are about."""

    metrics: list[Metric] = field(default_factory=list)
    model_id: str | None = None


@dataclass(frozen=True)
class Run:
    """An open MLflow run; its metrics are logged at once, or wait."""

    run_id: str
    experiment_id: str
    has_params: bool = False
    waiting: WaitingMetrics | None = None

    @property
    def page(self) -> str:
        """The training runs in MLflow's UI."""
        return f"{ui()}/{views.page_of(self.experiment_id)}"

    def log(
        self,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, object] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log any number of metrics, params and tags in one request."""
        now = get_current_time_millis()
        made = [Metric(name, float(value), now, 0) for name, value in (metrics or {}).items()]
        if self.waiting:
            self.waiting.metrics += made
            made = []
            if not params and not tags:
                return
        mlflow.MlflowClient().log_batch(
            self.run_id,
            metrics=made,
            params=[Param(name, str(value)) for name, value in (params or {}).items()],
            tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        )

    @contextmanager
    def before_its_model(self) -> Iterator[Run]:
        """Give the run to whom measures and logs its model; the metrics are logged at the end, as that model's.

        MLflow asks for the history of each metric that a run has when it logs a model, to note it at the model as well:
        one round trip for each of some fifty. Here they get there in one.
        """
        result = replace(self, waiting=WaitingMetrics())
        try:
            yield result
        finally:
            assert result.waiting is not None
            told, about = result.waiting.metrics, result.waiting.model_id
            metrics = [Metric(each.key, each.value, each.timestamp, each.step, about) for each in told]
            if metrics:
                mlflow.MlflowClient().log_batch(self.run_id, metrics=metrics)

    def has_model(self, model_id: str) -> None:
        """Say which model the metrics are about that wait."""
        if self.waiting:
            self.waiting.model_id = model_id

    def log_config(self, params: Mapping[str, str]) -> None:
        """Log the parameters as asked, unless `mlflow run` has done so: logging one again would raise."""
        if not self.has_params:
            self.log(params=params)

    def log_nested(self, name: str, *, metrics: Mapping[str, float], params: Mapping[str, object]) -> None:
        """Log a finished child run."""
        tags = {tag_names.PROCESS: this_process()}
        place = self.experiment_id
        with mlflow.start_run(run_name=name, nested=True, tags=tags, experiment_id=place) as child:
            Run(child.info.run_id, place).log(metrics, params)

    def log_figures(self, figures: Mapping[str, Figure]) -> None:
        """Log figures as `plots/<name>.png`."""
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png")

    def log_table(self, name: str, frame: pd.DataFrame) -> None:
        """Log a table as `tables/<name>.csv`, for people and their spreadsheets."""
        mlflow.log_text(without_formulas(frame).to_csv(index=False), f"tables/{name}.csv")

    def log_text(self, name: str, text: str) -> None:
        """Log a file of text."""
        mlflow.log_text(text, name)

    def log_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Log a JSON artifact."""
        mlflow.log_dict(dict(content), name)

    def log_evidence(self, evidence: Mapping[str, Any], card: str) -> None:
        """Log what a decision was made on, as `gate/evidence.json` and `gate/card.html`."""
        mlflow.log_dict(dict(evidence), "gate/evidence.json")
        mlflow.log_text(card, "gate/card.html")

    def log_card(self, card: str) -> None:
        """Log the model's page as `card.html`."""
        mlflow.log_text(card, "card.html")

    @property
    def evidence_page(self) -> str:
        """The address of the decision's page within MLflow's UI, from any of its pages."""
        return self._artifact_page("gate/card.html")

    @property
    def card_page(self) -> str:
        """The same for the model's page."""
        return self._artifact_page("card.html")

    def _artifact_page(self, path: str) -> str:
        return f"#/experiments/{self.experiment_id}/runs/{self.run_id}/artifacts/{path}"

    def log_dataset(self, frame: pd.DataFrame, *, where: str, target: str, digest: str, rows: int) -> None:
        """Log where the rows came from, under our own digest: MLflow's looks at 10,000 rows only.

        The columns' types are those of the first rows: MLflow took 24 s to look at a million rows.
        """
        # MLflow knows no source for SQL: the address is kept as the tag of a source by code.
        scheme, mark, _ = where.partition("://")
        source = CodeDatasetSource({"url": where}) if mark and scheme.lower() not in SOURCES else where
        with warnings.catch_warnings():
            # MLflow registers its source for local files twice, and warns that it has to choose.
            warnings.simplefilter("ignore", UserWarning)
            dataset = mlflow.data.from_pandas(
                frame.head(TYPED_CELLS // max(frame.shape[1], 1)),
                source=source,
                targets=target,
                name=Path(where).stem or "table",
                digest=digest,
            )
        dataset = _Counted(dataset, rows)
        insert(mlflow.log_input, dataset, context="training")


class _Counted(PandasDataset):  # type: ignore[misc] # untyped in MLflow
    """The first rows of a table, and how many there are in all."""

    def __init__(self, first: PandasDataset, rows: int) -> None:
        super().__init__(
            df=first.df, source=first.source, targets=first.targets, name=first.name, digest=first.digest
        )
        self._rows = rows

    @property
    def profile(self) -> dict[str, int]:
        """The size of the table."""
        return {"num_rows": self._rows, "num_elements": self._rows * len(self.df.columns)}


@contextmanager
def open_run(model: str, job: str) -> Iterator[Run]:
    """Open a run for a job about a model, and close it with what came of it.

    Raises
    ------
    TrackingUnavailable, ExperimentDeleted
        No run can be recorded; nothing has been done yet.
    """
    check_tracking()
    try:
        begun = experiments.begin(model, job)
    except (MlflowException, OSError) as error:
        if denial_of(error):
            raise  # it answers, though not this user
        reason = failures.refused_by(error) or _first_line(error)
        raise TrackingUnavailable(uri=tracking_uri(), reason=reason) from error
    run = Run(begun.run_id, begun.experiment_id, begun.has_params)
    try:
        views.write(run.experiment_id)
        _close_abandoned(run)
        yield run
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if killed else str(error) or type(error).__name__
        run.log(tags={tag_names.REASON: redact(reason, *_addresses())[:5000], tag_names.DECISION: "none"})
        begun.end("KILLED" if killed else "FAILED")
        raise
    begun.end("FINISHED")


def _close_abandoned(run: Run) -> None:
    """Close the runs of this experiment whose process was killed: nobody else would, and they look at work for ever.

    A run of another machine, or one that cannot be told to be over, is left as it is.
    """
    client = mlflow.MlflowClient()
    words = f"attributes.status = 'RUNNING' AND tags.`{tag_names.PROCESS}` LIKE '%_%'"
    try:
        running = client.search_runs([run.experiment_id], words, max_results=100)
        for each in running:
            if is_gone(each.data.tags[tag_names.PROCESS]):
                client.set_tag(each.info.run_id, tag_names.REASON, "its process was killed")
                client.set_terminated(each.info.run_id, "KILLED")
    except MlflowException:
        logging.getLogger(__name__).warning("runs left open could not be closed", exc_info=True)


def check_tracking(*, must_exist: bool = False) -> None:
    """Raise TrackingUnavailable at once where MLflow itself would retry for minutes.

    A command that needs what others wrote makes no database: it was called in the wrong folder.
    """
    uri = mlflow.get_tracking_uri()
    try:
        if uri.startswith("http"):
            requests.get(f"{uri.rstrip('/')}/health", timeout=PATIENCE).raise_for_status()
        elif uri.startswith("sqlite:///"):
            path = uri.removeprefix("sqlite:///").partition("?")[0]
            if must_exist and not Path(path).is_file():
                raise TrackingUnavailable(uri=tracking_uri(), reason="there is no such database")
            _check_sqlite(path)
    except requests.RequestException as error:
        raise TrackingUnavailable(uri=tracking_uri(), reason=type(error).__name__) from error
    except sqlite3.Error as error:
        raise TrackingUnavailable(uri=tracking_uri(), reason=redact(str(error), *_addresses())) from error


def _check_sqlite(path: str) -> None:
    """Take the write lock and give it back; another writer has twenty seconds, as in MLflow."""
    with closing(sqlite3.connect(path, timeout=20.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


SOURCES = ("s3", "gs", "abfss", "hdfs")
"""Stores of files that are sources of datasets to MLflow."""

ADDRESS = ("data", "query", "header", "encoding")
"""The parameters that say where a table is, and how it is written."""

READINGS = ("read", "missing", "decimal")
"""The parameters that say how its cells are read."""


def recorded_params(*run_ids: str) -> dict[str, str]:
    """Return the `ADDRESS` and `READINGS` of the first of these runs that is there; what MLflow quoted is unquoted.

    Where `mlflow run` logged the parameters nobody could add to them what the versions of the name decided; the
    command that was recorded at the end has it. Nothing where none of them is there any more.
    """
    found = filter(None, map(_data_of, dict.fromkeys(run_ids)))
    data = next(found, None)
    if data is None:
        return {}
    params = {name: _unquoted(value) for name, value in data.params.items()}
    decided = {name: word for name, word in _command_of(data.tags).items() if not params.get(name)}
    return {name: word for name, word in (params | decided).items() if name in ADDRESS + READINGS}


def recorded_command(run_id: str) -> dict[str, str]:
    """Return the parameters of the training that a run was, as words by name; nothing for another run."""
    return _command_of(recorded_tags(run_id))


def recorded_metrics(run_id: str) -> dict[str, float]:
    """Return a run's metrics, the last of each."""
    return dict(mlflow.MlflowClient().get_run(run_id).data.metrics)


def recorded_text(run_id: str, name: str) -> str:
    """Return a text file of a run, or nothing where it has none of that name."""
    return str(mlflow.artifacts.load_text(f"runs:/{run_id}/{name}")) if _has(run_id, name) else ""


def recorded_contract(run_id: str, *, where: str) -> tuple[Contract, str] | None:
    """Return the contract that a training kept, under a name for it, and its text; raises ContractError."""
    text = recorded_text(run_id, CONTRACT)
    if not text:
        return None
    with tempfile.TemporaryDirectory(dir=own_folder()) as folder:
        path = Path(folder) / CONTRACT
        path.write_text(text, encoding="utf-8")
        return replace(contracts.read(path), where=where), text


def add_to_run(run_id: str, tags: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Add tags and files of text to a run that is over."""
    client = mlflow.MlflowClient()
    for name, text in texts.items():
        client.log_text(run_id, text, name)
    for name, value in tags.items():
        client.set_tag(run_id, name, value[:5000])


def _data_of(run_id: str) -> RunData | None:
    """Return what a run logged; None where it is gone."""
    try:
        return mlflow.MlflowClient().get_run(run_id).data if run_id else None
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return None
        raise


def _command_of(tags: Mapping[str, str]) -> dict[str, str]:
    words = shlex.split(tags.get(tag_names.COMMAND, ""))[4:]
    return {name.removeprefix("--"): word for name, word in zip(words[::2], words[1::2], strict=False)}


def _unquoted(value: str) -> str:
    """Undo `shlex.quote`, which `mlflow run` applies; a text with quotes of its own, as we log it, stays."""
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    return words[0] if len(words) == 1 and shlex.quote(words[0]) == value else value


def recorded_tags(run_id: str) -> dict[str, str]:
    """Return a run's tags."""
    return dict(mlflow.MlflowClient().get_run(run_id).data.tags)


def recorded_json(run_id: str, name: str) -> dict[str, Any] | None:
    """Return a JSON artifact of a run, or None where it has none of that name."""
    return dict(mlflow.artifacts.load_dict(f"runs:/{run_id}/{name}")) if _has(run_id, name) else None


def _has(run_id: str, name: str) -> bool:
    """Return whether a run that may be gone has a file; raises MlflowException where the store does not answer.

    A store that is away must not look like a file that was never there: what stands in for it would be used.
    """
    if not run_id:
        return False
    folder = name.rpartition("/")[0]
    try:
        return name in {each.path for each in mlflow.MlflowClient().list_artifacts(run_id, folder or None)}
    except MlflowException as error:
        if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
            return False
        raise


def ui() -> str:
    """Return where MLflow's UI is, or will be after `mlflow ui`."""
    uri = redact_address(mlflow.get_tracking_uri()).replace(f"{MASK}@", "")
    return uri.rstrip("/") if uri.startswith("http") else "http://127.0.0.1:5000"


def tracking_uri() -> str:
    """Return where runs go, without a password."""
    return redact_address(mlflow.get_tracking_uri())


def _addresses() -> list[str]:
    return [mlflow.get_tracking_uri(), mlflow.get_registry_uri(), *addresses_around()]


def source_tags(config: Mapping[str, str]) -> dict[str, str]:
    """Return the command and, in a checkout, the commit."""
    words = [f"--{name} {shlex.quote(value)}" for name, value in config.items() if value]
    tags = {tag_names.COMMAND: " ".join(["python -m training train", *words])}
    commit = git_commit()
    return tags | ({tag_names.COMMIT: commit} if commit else {})


def git_commit() -> str:
    """Return the checkout's commit (`-dirty` where files differ from it), or nothing."""
    commit = _git("rev-parse", "HEAD")
    return commit + ("-dirty" if commit and _git("status", "--porcelain") else "")


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return redact(line, *_addresses())[:300]
