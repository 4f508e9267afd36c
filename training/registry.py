"""Versions and aliases in MLflow's model registry.

A version is registered in one request with all its tags, so that a crash leaves either no
version or a whole one. Nothing here compares models, `training.gate` does; and only
`training.ledger` moves the alias. What scores is imported where it is needed: a rollback cannot wait for it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode
from numpy.typing import NDArray

from data.schema import Schema
from data.splits import Split, SplitRule, split_table
from data.tables import Table
from serving.errors import ModelError
from serving.scorer_format import digest_of, read_document, read_files
from training.errors import CannotScore, NoSuchVersion, NotOurs, WrongFiles

if TYPE_CHECKING:
    from training.flavor import Logged

ABSENT = (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE")
"""What MLflow answers for what it does not have."""

SCORER_FOLDER = "scorer"
CHAMPION = "champion"
SPLIT_TAG = "slipway.split"
HELD_OUT_FROM_TAG = "slipway.held_out_from"
TARGET_TAG = "slipway.target"
DIGEST_TAG = "slipway.scorer_digest"
ADOPTED_TAG = "slipway.adopted"
"""Of a model that was fitted elsewhere: the SHA-256 of its file."""

INHERITED_TAGS = (SPLIT_TAG, HELD_OUT_FROM_TAG, TARGET_TAG, ADOPTED_TAG, "slipway.data_fingerprint")
"""What a version has in common with the one whose model it is."""

PINNED_TAG = "slipway.pinned_digest"
"""Of the files that were promoted, as they were in the registry: what a server may serve."""
ENTRY_TAG = "slipway.ledger_entry"
"""The newest ledger entry about a version that was carried out."""


@dataclass(frozen=True)
class Version:
    """A registered version."""

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """The version's address in the registry."""
        return f"models:/{self.name}/{self.number}"

    @property
    def split(self) -> SplitRule:
        """The rule that its rows were split by; raises NotOurs."""
        return SplitRule.from_dict(json.loads(self._tag(SPLIT_TAG)))

    @property
    def target(self) -> str:
        """The column it predicts; raises NotOurs."""
        return self._tag(TARGET_TAG)

    @property
    def adopted(self) -> str:
        """The SHA-256 of the file that it was adopted from, or nothing."""
        return self.tags.get(ADOPTED_TAG, "")

    @cached_property
    def schema(self) -> Schema:
        """The columns that it takes, by its scorer's files."""
        return read_document(read_files(self.folder / SCORER_FOLDER)[1])[0].schema

    @cached_property
    def folder(self) -> Path:
        """Its files, downloaded once."""
        return Path(mlflow.artifacts.download_artifacts(self.uri))

    def held_out(self, table: Table) -> NDArray[np.bool_]:
        """Return which rows of a table it did not learn from, bool of shape (n_rows,).

        A time split's boundary moves with the table: rows count from the version's own boundary on. Of an
        adopted model nobody knows: whoever is compared with it on all rows is compared with the best it can do.
        """
        if self.adopted:
            return np.ones(len(table), dtype=np.bool_)
        split = split_table(table, self.split)
        if split.moments is None:
            return split.mask("holdout")
        return split.moments >= float(self._tag(HELD_OUT_FROM_TAG))

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return its predictions for rows that have its columns, float64 of shape (n_rows,), through its scorer."""
        from serving.scorer import Scorer  # noqa: PLC0415 - see above
        from training.compiling import pack_frame  # noqa: PLC0415

        scorer = Scorer.load(self.folder / SCORER_FOLDER)
        absent = [name for name in scorer.schema.names if name not in frame]
        if absent:
            raise CannotScore(name=self.name, version=self.number, column=absent[0])
        return scorer.predict(pack_frame(frame, scorer.schema))

    def pipeline(self) -> Any:
        """Return the fitted pipeline or network, as stock MLflow loads it."""
        from training import flavor  # noqa: PLC0415 - see above

        return flavor.load_model(self.uri)

    def predict_with_stock_mlflow(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return what `mlflow.pyfunc` predicts for rows, float64 of shape (n_rows,)."""
        return np.asarray(mlflow.pyfunc.load_model(self.uri).predict(frame), dtype=np.float64).reshape(-1)

    def verified_digest(self) -> str:
        """Return the digest of the scorer's files as they are in the registry now; raises WrongFiles, NotOurs."""
        expected = self.tags.get(PINNED_TAG) or self._tag(DIGEST_TAG)
        with tempfile.TemporaryDirectory() as folder:
            try:
                uri = f"{self.uri}/{SCORER_FOLDER}"
                files = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)
                graph, document = read_files(Path(files))
                found = digest_of(graph, read_document(document)[1])
            except (MlflowException, ModelError, OSError) as error:
                raise WrongFiles(name=self.name, version=self.number, fault=str(error)) from error
        if found != expected:
            fault = f"digest {found[:16]}..., recorded was {expected[:16]}..."
            raise WrongFiles(name=self.name, version=self.number, fault=fault)
        return found

    def _tag(self, tag: str) -> str:
        if tag not in self.tags:
            raise NotOurs(name=self.name, version=self.number, lacks=f"the tag {tag}")
        return self.tags[tag]


def champion(name: str) -> Version | None:
    """Return the version that production serves, or None."""
    return _found(lambda client: client.get_model_version_by_alias(name, CHAMPION))


def version(name: str, number: str) -> Version:
    """Return a version by its number; raises NoSuchVersion."""
    found = find_version(name, number)
    if found is None:
        raise NoSuchVersion(name=name, version=number, known=[known.number for known in versions(name)])
    return found


def find_version(name: str, number: str) -> Version | None:
    """Return a version by its number, or None."""
    return _found(lambda client: client.get_model_version(name, number))


def versions(name: str) -> list[Version]:
    """Return all versions, oldest first."""
    found = mlflow.MlflowClient().search_model_versions(f"name = '{name}'", max_results=1000)
    return sorted(map(_as_version, found), key=lambda known: int(known.number))


def describe_rows(split: Split, schema: Schema, fingerprint: str) -> dict[str, str]:
    """Return the tags that a later retrain and the gate read back."""
    boundary = {} if split.held_out_from is None else {HELD_OUT_FROM_TAG: repr(split.held_out_from)}
    return boundary | {
        SPLIT_TAG: json.dumps(split.rule.as_dict()),
        TARGET_TAG: schema.target,
        "slipway.data_fingerprint": fingerprint,
    }


def register(name: str, logged: Logged, *, run_id: str, tags: Mapping[str, str], description: str) -> Version:
    """Register a logged model as the next version, whole, and return it."""
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name,
        source=logged.model_uri,
        run_id=run_id,
        model_id=logged.model_id,
        tags=dict(tags),
        description=description,
    )
    return _as_version(created)


def promote(name: str, number: str, *, digest: str) -> None:
    """Pin the digest of a version's files, then point the champion alias at it."""
    tag(name, number, {PINNED_TAG: digest})
    _put(mlflow.MlflowClient().set_registered_model_alias, name, CHAMPION, number)


def describe(chosen: Version, text: str) -> None:
    """Set a version's description."""
    mlflow.MlflowClient().update_model_version(chosen.name, chosen.number, text)


def tag(name: str, number: str, tags: Mapping[str, str]) -> None:
    """Set tags on a version, in this order."""
    for key, value in tags.items():
        _put(mlflow.MlflowClient().set_model_version_tag, name, number, key, value)


def _put(write: Callable[..., None], *words: str) -> None:
    """Write, and again if refused: MLflow looks, then inserts, and fails where two writers insert at once."""
    try:
        write(*words)
    except MlflowException:
        write(*words)


def _found(look_up: Any) -> Version | None:
    try:
        return _as_version(look_up(mlflow.MlflowClient()))
    except MlflowException as error:
        if error.error_code in ABSENT:
            return None
        raise


def _as_version(found: ModelVersion) -> Version:
    return Version(found.name, str(found.version), found.run_id or "", dict(found.tags))
