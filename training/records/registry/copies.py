"""A version that goes to another name or registry: read whole where it is, written whole where it comes to.

A copy has the source's files byte for byte, so that all digests stay; its run has the source's parameters, figures,
pages and evidence, with the entry that promoted it and its signature. One that is begun again is found, not made twice.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow

from data.own_files import own_folder
from serving.registry import promotions
from serving.scorer import version_files
from serving.signatures import SIGNATURE_FILE
from training.records import tag_names, tracking
from training.records.registry import model_registry

OF_THE_SOURCE = (tag_names.DECISION, tag_names.VERSION, tag_names.PROCESS, tag_names.RUN)
"""Tags of a run that are about the place where it is."""

GIVEN = ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_REGISTRY_URI")
"""What `mlflow run` says of the registry that it was started in."""


@dataclass(frozen=True)
class Source:
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
        Of its run.
    artifacts : Path
        Of its run: plots, pages, evidence; in `source/` the entry and the signature.
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
    def mark(self) -> str:
        """What a copy of it bears."""
        return f"{self.address} {self.version.name}/{self.version.number}"


def read(version: model_registry.Version, entry: promotions.Entry | None) -> Source:
    """Fetch a version's files and what its run says; raises WrongFiles, Unvouched or NotLoadable."""
    client, place = mlflow.MlflowClient(), Path(tempfile.mkdtemp(dir=own_folder()))
    folder, data = version.folder, client.get_run(version.run_id).data
    if client.list_artifacts(version.run_id):
        mlflow.artifacts.download_artifacts(run_id=version.run_id, dst_path=str(place))
    source = place / "source"
    source.mkdir(exist_ok=True)
    if entry:
        (source / "ledger_entry.json").write_text(entry.text, encoding="utf-8")
    if signature := version.tags.get(tag_names.SIGNATURE):
        (source / SIGNATURE_FILE).write_text(signature, encoding="utf-8")
    tags = {
        name: value
        for name, value in data.tags.items()
        if name.startswith("slipway.") and name not in OF_THE_SOURCE
    }
    return Source(version, folder, model_registry.address(), entry, data.params, data.metrics, tags, place)


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


def find(name: str, source: Source) -> model_registry.Version | None:
    """Return the copy that is there already, or None."""
    for each in model_registry.versions(name):
        if each.tags.get(tag_names.COPIED) == source.mark and each.files == source.version.files:
            return each
    return None


def write(name: str, source: Source, job: str) -> model_registry.Version:
    """Register a copy, undecided; raises TrackingUnavailable or ExperimentDeleted."""
    from training.versions import flavor  # noqa: PLC0415 - seconds that a rollback does not have

    with tracking.open_run(name, job) as run:
        copied = {tag_names.COPIED: source.mark, tag_names.COPIED_NAME: source.version.name}
        run.log(source.metrics, {} if run.has_params else source.params, {**source.tags, **copied})
        mlflow.MlflowClient().log_artifacts(run.run_id, str(source.artifacts))
        logged = flavor.log_files(source.folder, run.run_id, run.experiment_id, files=source.version.files)
        kept = {*tag_names.INHERITED, tag_names.DIGEST} - {
            tag_names.TRAINED_IN
        }  # which is a run of the source's
        tags = {tag: value for tag, value in source.version.tags.items() if tag in kept}
        tags |= {**copied, tag_names.DECISION: "undecided"}
        words = f"Copied from {source.words}."
        version = model_registry.register(name, logged, run_id=run.run_id, tags=tags, description=words)
        run.log(tags={tag_names.VERSION: version.number})
    return version
