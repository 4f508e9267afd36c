"""Versions and aliases in MLflow's model registry.

A version is registered in one request with all its tags, so that a crash leaves either no
version or a whole one. Nothing here compares models, `training.gate` does; and only
`training.records.registry.ledger` moves the alias. What scores is imported where it is needed: a rollback cannot wait
for it.

Files are fetched into a private folder, compared with what was recorded, and used from there: what the artifact store
holds a moment later changes nothing.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST, ErrorCode
from numpy.typing import NDArray

from data.own_files import own_folder
from data.redaction import redact_address
from data.schema import Schema
from data.splits import Split, SplitRule, splitting
from data.tables import Table
from serving.errors import ModelError
from serving.scorer import scorer_files, version_files
from training.console import denial_of, failures
from training.errors import CannotScore
from training.records import tag_names
from training.records.errors import FilesAway, NoSuchVersion, NotOurs, Unvouched, WrongFiles
from training.records.inserts import insert
from training.records.registry import model_pages
from training.versions import check_loadable, predictions_of

if TYPE_CHECKING:
    from training.versions import flavor

ABSENT = (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE")
"""What MLflow answers for what it does not have."""

DENIED = ErrorCode.Name(PERMISSION_DENIED)

SOME_FAILED = re.compile(r"failures occurred while downloading .* from (?!file:)\w+://")
"""How MLflow says that not all files came that it had found in a store that is not on this machine."""

SCORER_FOLDER = "scorer"
CHAMPION, CHALLENGER = "champion", "challenger"
PAGE = 1000
"""Versions that the registry gives at once."""


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes
    ----------
    made_here : str
        The digest of all files of a version that this process made: nobody else's word is needed for it.
    """

    name: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    made_here: str = ""

    @property
    def uri(self) -> str:
        """The version's address in the registry."""
        return f"models:/{self.name}/{self.number}"

    @property
    def split(self) -> SplitRule:
        """The rule that its rows were split by; raises NotOurs."""
        return SplitRule.from_dict(json.loads(self._tag(tag_names.SPLIT)))

    @property
    def target(self) -> str:
        """The column it predicts; raises NotOurs."""
        return self._tag(tag_names.TARGET)

    @property
    def weight(self) -> str:
        """The column that says how much each row counts, or nothing."""
        return self.tags.get(tag_names.WEIGHT, "")

    @property
    def time_column(self) -> str:
        """The column that says when each row was, or nothing."""
        return self.tags.get(tag_names.TIME) or (self.split.columns[0] if self.split.method == "time" else "")

    @property
    def adopted(self) -> str:
        """The SHA-256 of the file that it was adopted from, or nothing."""
        return self.tags.get(tag_names.ADOPTED, "")

    @property
    def trained_in(self) -> str:
        """The run that its model was trained in: new intervals are a version's whose own run trained nothing."""
        return self.tags.get(tag_names.TRAINED_IN, self.run_id)

    @property
    def is_recalibrated(self) -> bool:
        """Whether its intervals are not those of its training."""
        return tag_names.RECALIBRATED in self.tags or self.trained_in != self.run_id

    @property
    def files(self) -> str:
        """The digest of all its files, or nothing where none was recorded."""
        return self.made_here or self.tags.get(tag_names.FILES, "")

    @property
    def digest(self) -> str:
        """The recorded digest of its scorer, or nothing: the promoted one where there is one."""
        return self.tags.get(tag_names.PINNED) or self.tags.get(tag_names.DIGEST, "")

    @cached_property
    def schema(self) -> Schema:
        """The columns that it takes, by its scorer's files."""
        return scorer_files.document_in(self.scorer_folder).schema

    @cached_property
    def scorer_folder(self) -> Path:
        """Its scorer, fetched once; raises WrongFiles."""
        return self.folder / SCORER_FOLDER if self.files else self._fetched(SCORER_FOLDER)

    @cached_property
    def folder(self) -> Path:
        """All its files, fetched once, of which nothing but what Slipway writes is loaded.

        Raises
        ------
        WrongFiles
            They are not those that were registered.
        FilesAway
            They cannot be fetched now.
        Unvouched
            Nobody recorded what they were.
        NotLoadable
            They ask for a loader or code that is not ours.
        """
        folder = self._fetched()
        if not self.files:
            raise self.unvouched(folder)
        check_loadable(folder, name=self.name, version=self.number)
        return folder

    def unvouched(self, folder: Path | None = None) -> Unvouched:
        """Return the error of a version of whose files nobody recorded the digest."""
        result = version_files.files_digest(folder or self._fetched())
        return Unvouched(name=self.name, version=self.number, tag=tag_names.FILES, found=result)

    def _fetched(self, part: str = "") -> Path:
        """Return all files or the scorer's in a private folder, compared with what was recorded; raises WrongFiles.

        Who may not fetch them learns nothing of them: what MLflow said goes on as it is. The folder is gone once nobody
        has this version any more, and at the end of the process.
        """
        place = tempfile.mkdtemp(dir=own_folder())
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        try:
            uri = f"{self.uri}/{part}".rstrip("/")
            folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=place))
            if not version_files.paths_in(folder):
                raise FileNotFoundError("its folder is empty")
            if not part and self.files:
                version_files.check_files(version_files.only_files(folder), self.files)
            result = scorer_files.digest_in(folder if part else folder / SCORER_FOLDER)
        except Exception as error:
            fault = _away(error)
            if denial_of(error) or not (fault or isinstance(error, MlflowException | ModelError | OSError)):
                raise
            if fault:
                raise FilesAway(name=self.name, version=self.number, fault=fault) from error
            said = f"they cannot be fetched, or are gone ({' '.join(str(error).split())[:300]})"
            said = str(error) if isinstance(error, ModelError) else said
            raise WrongFiles(name=self.name, version=self.number, fault=said) from error
        if self.digest not in ("", result):
            fault = f"digest {result[:16]}..., recorded was {self.digest[:16]}..."
            raise WrongFiles(name=self.name, version=self.number, fault=fault)
        return version_files.only_files(folder)

    def held_out(self, table: Table) -> NDArray[np.bool_]:
        """Return which rows of a table it did not learn from, bool of shape (n_rows,).

        A time split's boundary moves with the table: rows count from the version's own boundary on. Of an
        adopted model nobody knows: whoever is compared with it on all rows is compared with the best it can do.
        Raises MissingColumn or SplitError where the table does not say it.
        """
        if self.adopted:
            return np.ones(len(table), dtype=np.bool_)
        rule = self.split
        splitting.refuse_columns(table, rule)
        if rule.method != "time":
            return splitting.sides_of(table, rule).mask("holdout")
        return splitting.moments_of(table, rule.columns[0]) >= float(self._tag(tag_names.HELD_OUT_FROM))

    def predict(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return its predictions for rows that have its columns, float64 of shape (n_rows,), through its scorer."""
        from serving.scorer import Scorer  # noqa: PLC0415 - see above
        from training.compiling import pack_frame  # noqa: PLC0415

        scorer = Scorer.load(self.scorer_folder, at_once=None)
        absent = [name for name in scorer.schema.names if name not in frame]
        if absent:
            raise CannotScore(name=self.name, version=self.number, column=absent[0])
        return scorer.predict(pack_frame(frame, scorer.schema))

    def pipeline(self) -> Any:
        """Return the fitted pipeline or network, as stock MLflow loads it."""
        from training.versions import flavor  # noqa: PLC0415 - see above

        return flavor.load_model(self.folder)

    def predict_with_stock_mlflow(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        """Return what `mlflow.pyfunc` predicts for rows, float64 of shape (n_rows,).

        What this process made may be loaded in it; other files are loaded in one that knows no secret of ours.
        """
        return predictions_of(self.folder, frame, apart=not self.made_here)

    def verified_digest(self) -> str:
        """Return the digest of the scorer's files as they are in the registry now; raises WrongFiles, NotOurs."""
        if not self.digest:
            self._tag(tag_names.DIGEST)
        self.check_files_now()
        return self.digest

    def check_files_now(self) -> None:
        """Compare the files that the registry has now with what was recorded; raises WrongFiles."""
        shutil.rmtree(self._fetched("" if self.files else SCORER_FOLDER), ignore_errors=True)

    def _tag(self, tag: str) -> str:
        if tag not in self.tags:
            raise NotOurs(name=self.name, version=self.number, lacks=f"the tag {tag}")
        return self.tags[tag]


def _away(error: Exception) -> str:
    """Return why files could not be fetched that may well be there; nothing where the server says that they are not."""
    cause: BaseException | None = error
    while cause is not None:
        if "404 Client Error" in str(cause):
            return ""
        cause = cause.__cause__ or cause.__context__
    lost = "some came in part, or not at all" if SOME_FAILED.search(str(error)) else ""
    return failures.refused_by(error) or lost


def champion(name: str) -> Version | None:
    """Return the version that production serves, or None."""
    return _found(name, lambda client: client.get_model_version_by_alias(name, CHAMPION))


def challenger(name: str) -> Version | None:
    """Return the version that is being judged beside the champion, or None."""
    return _found(name, lambda client: client.get_model_version_by_alias(name, CHALLENGER))


def name_challenger(name: str, number: str) -> None:
    """Let the alias of the challenger point to a version; nothing for none."""
    client = mlflow.MlflowClient()
    if number:
        insert(client.set_registered_model_alias, name, CHALLENGER, number)
    elif challenger(name) is not None:
        client.delete_registered_model_alias(name, CHALLENGER)


def made_at(chosen: Version) -> datetime:
    """Return when a version was registered."""
    result = mlflow.MlflowClient().get_model_version(chosen.name, chosen.number)
    return datetime.fromtimestamp(result.creation_timestamp / 1000.0, tz=UTC)


def chosen(name: str, number: str) -> Version:
    """Return a version by its number, the champion without one; raises NoSuchVersion."""
    if number:
        return version(name, number)
    current = champion(name)
    if current is None:
        raise NoSuchVersion(name=name, version="@champion", known=[], where=address())
    return current


def version(name: str, number: str) -> Version:
    """Return a version by its number; raises NoSuchVersion."""
    result = find_version(name, number)
    if result is None:
        known = [each.number for each in versions(name)]
        raise NoSuchVersion(name=name, version=number, known=known, where=address())
    return result


def address() -> str:
    """Return where the registry is, without a password."""
    return redact_address(mlflow.get_registry_uri())


def is_known(name: str) -> bool:
    """Return whether the registry has a model of this name."""
    try:
        mlflow.MlflowClient().get_registered_model(name)
    except MlflowException as error:
        if error.error_code in ABSENT:
            return False
        raise
    return True


def find_version(name: str, number: str) -> Version | None:
    """Return a version by its number, or None."""
    return _found(name, lambda client: client.get_model_version(name, number))


def versions(name: str) -> list[Version]:
    """Return all versions, oldest first."""
    client, token = mlflow.MlflowClient(), None
    result: list[Version] = []
    while True:
        page = client.search_model_versions(f"name = '{name}'", max_results=PAGE, page_token=token)
        result += map(_as_version, page)
        if not (token := page.token):
            return sorted(result, key=lambda known: int(known.number))


def describe_rows(split: Split, schema: Schema, fingerprint: str, weight: str = "") -> dict[str, str]:
    """Return the tags that a later retrain and the gate read back."""
    boundary = {} if split.held_out_from is None else {tag_names.HELD_OUT_FROM: repr(split.held_out_from)}
    return {
        **boundary,
        **weight_tag(weight),
        tag_names.SPLIT: json.dumps(split.rule.as_dict()),
        tag_names.TARGET: schema.target,
        tag_names.DATA: fingerprint,
    }


def weight_tag(weight: str) -> dict[str, str]:
    """Return the tag of the column that says how much each row counts; none where all count the same."""
    return {tag_names.WEIGHT: weight} if weight else {}


def register(
    name: str, logged: flavor.Logged, *, run_id: str, tags: Mapping[str, str], description: str
) -> Version:
    """Register a logged model as the next version, whole and once, and return it.

    MLflow asks again where no answer comes, and the server makes a version each time. So what is there of this model
    is looked up: the first is the version, whatever came back.
    """
    client = mlflow.MlflowClient()
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    lost: MlflowException | None = None
    made: list[Version] = []
    try:
        created = client.create_model_version(
            name,
            source=logged.model_uri,
            run_id=run_id,
            model_id=logged.model_id,
            tags={**tags, tag_names.FILES: logged.files},
            description=description,
        )
        made = [_as_version(created)]
    except MlflowException as error:
        lost = error
    made = _made_of(name, logged, run_id) or made
    if lost and not made:
        raise lost
    for each in made[1:]:
        _forget(each)
    model_pages.show(name, made[0].number, gone=[each.number for each in made[1:]])
    return replace(made[0], made_here=logged.files)


def _made_of(name: str, logged: flavor.Logged, run_id: str) -> list[Version]:
    """Return the versions of a logged model, the first one first."""
    found = mlflow.MlflowClient().search_model_versions(f"run_id = '{run_id}'")
    made = [_as_version(each) for each in found if (each.name, each.source) == (name, logged.model_uri)]
    return sorted(made, key=lambda each: int(each.number))


def _forget(again: Version) -> None:
    """Delete a version that the server made twice, where this user may; it stays undecided where not."""
    try:
        mlflow.MlflowClient().delete_model_version(again.name, again.number)
    except MlflowException:
        logging.getLogger(__name__).warning("%s was made twice, and could not be deleted", again.uri)


def promote(name: str, number: str, *, digest: str, files: str = "") -> None:
    """Pin the digests of a version's files, then point the champion alias at it."""
    tag(name, number, {tag_names.PINNED: digest, **({tag_names.FILES: files} if files else {})})
    insert(mlflow.MlflowClient().set_registered_model_alias, name, CHAMPION, number)


def describe(chosen: Version, text: str) -> None:
    """Set a version's description."""
    mlflow.MlflowClient().update_model_version(chosen.name, chosen.number, text)


def tag(name: str, number: str, tags: Mapping[str, str]) -> None:
    """Set tags on a version, in this order."""
    for key, value in tags.items():
        insert(mlflow.MlflowClient().set_model_version_tag, name, number, key, value)


def _found(name: str, look_up: Any) -> Version | None:
    """Return what is looked up, or None; MLflow's server with users forbids to ask for a version of no model."""
    try:
        return _as_version(look_up(mlflow.MlflowClient()))
    except MlflowException as error:
        if error.error_code in ABSENT or (error.error_code == DENIED and not is_known(name)):
            return None
        raise


def _as_version(found: ModelVersion) -> Version:
    return Version(found.name, str(found.version), found.run_id or "", dict(found.tags))
