"""A registry with two versions of a line, made once without a search, and copied for each test that harms it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, Workspace
from training.records import tag_names

LINE = ROOT / "data" / "samples" / "line.csv"
PLACES = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}
"""Where MLflow's database keeps absolute paths."""


def build(folder: Path) -> None:
    """Register two versions of `line` in the current store, and promote the first."""
    import mlflow
    import numpy as np
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    from data.checks import check_table
    from data.sources import open_source
    from data.splits import SplitRule, split_table
    from data.tables import describe, fingerprint, load_table
    from training.compiling import compile_verified, write_scorer
    from training.records import ledger, model_registry
    from training.versions import flavor

    table = load_table(open_source(str(LINE)))
    checked = check_table(table, target="y").table
    split = split_table(checked, SplitRule("hash", ("x",), 0.15, salt="line"))
    schema, known = describe(checked, ["x"], target="y", units={}), fingerprint(table)
    frame, target = checked.frame[["x"]], checked.numbers("y")
    for alpha in (1e-6, 2e-6):
        fitted = make_pipeline(Ridge(alpha=alpha)).fit(frame, np.asarray(target))
        compiled = compile_verified(fitted, schema=schema, frame=frame, target=target)
        scorer = folder / f"scorer{alpha}"
        write_scorer(
            scorer,
            graph=compiled.graph,
            schema=schema,
            frame=frame,
            fingerprint=known,
            parity=compiled.parity,
        )
        with mlflow.start_run() as run:
            logged = flavor.log_version(
                fitted, schema=schema, scorer_folder=scorer, input_example=frame.head(3)
            )
        tags = model_registry.describe_rows(split, schema, known)
        tags |= {tag_names.DIGEST: logged.digest, "slipway.decision": "undecided"}
        model_registry.register("line", logged, run_id=run.info.run_id, tags=tags, description="")
    version = model_registry.version("line", "1")
    ledger.record(ledger.settle("line"), version, kind="promotion", reason="the first")


def copied(made: Path, folder: Path) -> None:
    """Fill a folder with a copy of what was made elsewhere, its paths set right."""
    shutil.copytree(made, folder, dirs_exist_ok=True)
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, columns in PLACES.items():
            for column in columns:
                words = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
                database.execute(words, (str(made), str(folder)))


@dataclass
class Store:
    """A copy of that registry, and who may write where."""

    workspace: Workspace

    @property
    def client(self):
        """MLflow's own client."""
        import mlflow

        return mlflow.MlflowClient()

    def artifacts(self, version: str) -> Path:
        """The version's files in the artifact store."""
        model = self.client.get_model_version("line", version).source.removeprefix("models:/")
        return Path(self.client.get_logged_model(model).artifact_location)

    def tag(self, version: str, name: str, value: str | None) -> None:
        """Write or delete a version's tag, as anybody can who may write to the registry."""
        self.client.delete_model_version_tag("line", version, name)
        if value is not None:
            self.client.set_model_version_tag("line", version, name, value)
