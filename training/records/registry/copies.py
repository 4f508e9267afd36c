"""A version that goes to another name or registry: read whole where it is, written whole where it comes to.

A copy has the source's files byte for byte, so that all digests stay; its run has the source's parameters, figures,
pages and evidence, with the entry that promoted it and its signature. One that is begun again is found, not made twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from data.own_files import own_folder
from serving.registry import promotions
from serving.scorer import version_files
from serving.signatures import SIGNATURE_FILE
from training.records import tag_names, tracking
from training.records.registry import model_pages, model_registry

OF_THE_SOURCE = (tag_names.DECISION, tag_names.REASON, tag_names.VERSION, tag_names.PROCESS, tag_names.RUN)
"""Tags of a run that are about the place where it is."""

GIVEN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI")
"""What `mlflow run` says of the registry that it was started in."""


@dataclass(frozen=True)
class Original:
    """A version where it comes from, its files here.

    Attributes
    ----------
    folder : Path
        Its files, compared with what was recorded.
    address : str
        Of its registry, without a password.
    entry : Entry or None
        That made it champion there.
    params, metrics, tags : dict
        Of its run, and below that of the run that its model was trained in.
    artifacts : Path
        Of both: plots, pages, evidence; in `source/` the entry and the signature.
    """

    version: model_registry.Version
    folder: Path
    address: str
    entry: promotions.Entry | None
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: Path

    @property
    def words(self) -> str:
        """Which version it is, and who vouched for it."""
        place = f"{self.version.name} version {self.version.number} at {self.address}"
        return f"{place} (entry {self.entry.sequence}: {self.entry.reason})" if self.entry else place

    @property
    def files(self) -> list[str]:
        """Its files."""
        return version_files.paths_in(self.folder)

    @property
    def origin(self) -> str:
        """The registry and the name that it comes from: two registries may have one name for two models."""
        return f"{self.address} {self.version.name}"

    @property
    def mark(self) -> str:
        """What a copy of it bears."""
        return f"{self.origin}/{self.version.number}"

    def is_origin_of(self, version: model_registry.Version) -> bool:
        """Return whether a version is a copy of this one, or of another one of the same name and registry."""
        return version.tags.get(tag_names.COPIED, "").rpartition("/")[0] == self.origin


def read(version: model_registry.Version, entry: promotions.Entry | None) -> Original:
    """Fetch a version's files and what its run says; raises WrongFiles, Unvouched or NotLoadable."""
    folder, place = version.folder, Path(tempfile.mkdtemp(dir=own_folder()))
    params, metrics, said = _training_and_own(version, place)
    source = place / "source"
    source.mkdir(exist_ok=True)
    if entry:
        (source / "ledger_entry.json").write_text(entry.text, encoding="utf-8")
    if signature := version.tags.get(tag_names.SIGNATURE):
        (source / SIGNATURE_FILE).write_text(signature, encoding="utf-8")
    tags = {
        name: value
        for name, value in said.items()
        if name.startswith("slipway.") and name not in OF_THE_SOURCE
    }
    return Original(version, folder, model_registry.address(), entry, params, metrics, tags, place)


def _training_and_own(
    version: model_registry.Version, place: Path
) -> tuple[dict[str, str], dict[str, float], dict[str, str]]:
    """Return params, metrics and tags of a version's run, and put its artifacts into a folder.

    New intervals come from a run that trained nothing: below what it has lies what the training's has, where that is
    still there. The copy's run is the training's and its own in one; of its params the training's count, which say how
    the model's table is read.
    """
    client = mlflow.MlflowClient()
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    for run_id in dict.fromkeys((version.trained_in, version.run_id)):
        try:
            data = client.get_run(run_id).data
        except MlflowException as error:
            if run_id == version.run_id or error.error_code not in model_registry.ABSENT:
                raise
            continue
        params, metrics, tags = data.params | params, metrics | data.metrics, tags | data.tags
        if client.list_artifacts(run_id):
            with tempfile.TemporaryDirectory(dir=own_folder()) as fetched:
                files = mlflow.artifacts.download_artifacts(run_id=run_id, dst_path=fetched)
                shutil.copytree(files, place, dirs_exist_ok=True)
    return params, metrics, tags


@contextmanager
def elsewhere(registry: str) -> Iterator[None]:
    """Work in another registry and its tracking server; in this one where none is named."""
    if not registry:
        yield
        return
    before, given = mlflow.get_tracking_uri(), {name: os.environ.pop(name, None) for name in GIVEN}
    mlflow.set_tracking_uri(registry)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.update({name: value for name, value in given.items() if value is not None})


def find(name: str, source: Original) -> model_registry.Version | None:
    """Return the copy that is there already, or None; its page says what it is, though its maker was killed."""
    for each in model_registry.versions(name):
        if each.tags.get(tag_names.COPIED) == source.mark and each.files == source.version.files:
            model_pages.show(each.name, each.number)
            return each
    return None


def write(name: str, source: Original, job: str) -> model_registry.Version:
    """Register a copy, undecided; raises TrackingUnavailable or ExperimentDeleted."""
    from training.versions import flavor  # noqa: PLC0415 - seconds that a rollback does not have

    with tracking.open_run(name, job) as run:
        copied = {tag_names.COPIED: source.mark}
        run.log(source.metrics, _unlogged(source.params, run.run_id), {**source.tags, **copied})
        mlflow.MlflowClient().log_artifacts(run.run_id, str(source.artifacts))
        logged = flavor.log_files(source.folder, run.run_id, run.experiment_id, files=source.version.files)
        # The copy's run has what that run of the source's had.
        kept = {*tag_names.INHERITED, tag_names.DIGEST} - {tag_names.TRAINED_IN}
        tags = {tag: value for tag, value in source.version.tags.items() if tag in kept}
        tags |= {tag_names.RECALIBRATED: "yes"} if source.version.is_recalibrated else {}
        tags |= {**copied, tag_names.DECISION: "undecided"}
        words = f"Copied from {source.words}."
        version = model_registry.register(name, logged, run_id=run.run_id, tags=tags, description=words)
        run.log(tags={tag_names.VERSION: version.number})
    return version


def _unlogged(params: Mapping[str, str], run_id: str) -> dict[str, str]:
    """Return the params that a run does not have: `mlflow run` has logged this command's, and none can be changed."""
    logged = mlflow.MlflowClient().get_run(run_id).data.params
    return {name: value for name, value in params.items() if name not in logged}
