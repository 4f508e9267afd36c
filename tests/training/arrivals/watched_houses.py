"""A registry with a version of houses that can be watched: made once, and copied for each test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking._tracking_service import utils
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from data.splits import SplitRule, split_table
from data.tables import Table, describe
from serving.scorer import Intervals
from tests.conftest import Workspace, at_work_in
from tests.registered import copied
from training.compiling import compile_verified, pack_frame, write_scorer
from training.measuring.intervals.conformal import COVERAGES, quantile
from training.monitoring import Groups, Known, reference_of
from training.records import ledger, model_registry, tag_names
from training.versions import flavor

NAMES = ["area", "rooms", "town"]
ADDS = {"area": 80.0, "rooms": 22.0, "town": 27.0}
KINDS = {"sold": "datetime", "area": "number", "rooms": "number", "town": "category", "price": "number"}


def houses(n: int, start: str, days: int, *, seed: int, noise: float = 20.0) -> pd.DataFrame:
    """Sales with a date each."""
    random = np.random.default_rng(seed)
    sold = pd.Timestamp(start) + pd.to_timedelta(np.sort(random.uniform(0, days, n)), unit="D")
    area, rooms = random.uniform(40, 200, n), random.integers(1, 7, n).astype(float)
    town = random.choice(["Aa", "Bee", "Cee"], n)
    price = 2.0 * area + 15.0 * rooms + (town == "Cee") * 60 + noise * random.normal(size=n)
    when = sold.strftime("%Y-%m-%dT%H:%M:%S").astype(object)
    return pd.DataFrame({"sold": when, "area": area, "rooms": rooms, "town": town, "price": price})


def register(folder: Path, *, watched: bool, group: bool = False) -> None:
    """Register and promote a version of half a year of houses, with what a monitor needs or without."""
    frame = houses(1_500, "2024-01-01", 180, seed=0)
    table = Table("houses", frame, KINDS)
    schema, target = describe(table, NAMES, target="price"), table.numbers("price")
    towns = ColumnTransformer([("towns", OneHotEncoder(), ["town"])], remainder="passthrough")
    model = make_pipeline(towns, Ridge()).fit(frame[NAMES][:500], target[:500])
    compiled = compile_verified(model, schema=schema, frame=frame[NAMES], target=target)
    scores = np.abs(target - model.predict(frame[NAMES]))[500:1_000]
    intervals = Intervals("calibration", 500, False, COVERAGES, tuple(quantile(scores, c) for c in COVERAGES))
    scorer = write_scorer(
        folder / "scorer",
        graph=compiled.graph,
        schema=schema,
        frame=frame[NAMES],
        fingerprint="0" * 32,
        parity=compiled.parity,
        intervals=intervals,
    )
    packed = pack_frame(frame[NAMES], schema)
    answers = scorer.predict_with_scale(packed)
    absolute = np.abs(target - answers[:, 0])[1_000:]
    streets = np.repeat(np.arange(750, dtype=np.uint64), 2)
    known = Known(packed[:500], packed[500:], answers[500:], absolute, scores)
    if group:
        ids = Groups(("street",), streets[:500], streets[500:], streets[1_000:], streets[500:1_000])
        known = replace(known, groups=ids)
    made = reference_of(known, schema, intervals, seed=0).with_contributions(ADDS)
    reference = made.as_dict() if watched else None
    with mlflow.start_run() as run:
        logged = flavor.log_version(
            model,
            schema=schema,
            scorer_folder=folder / "scorer",
            input_example=frame[NAMES].head(3),
            reference=reference,
        )
    rule = SplitRule("hash", tuple(NAMES), 0.15, salt="houses")
    if group:
        table = Table("houses", frame.assign(street=streets), KINDS | {"street": "number"})
        rule = SplitRule("group", ("street",), 0.15, salt="houses")
    split = split_table(table, rule)
    tags = model_registry.describe_rows(split, schema, "0" * 32) | {tag_names.DIGEST: logged.digest}
    model_registry.register("houses", logged, run_id=run.info.run_id, tags=tags, description="")
    version = model_registry.version("houses", "1")
    ledger.record(ledger.settle("houses"), version, kind="promotion", reason="the first")


class Put(Protocol):
    """Fills the test's store with the registered houses."""

    def __call__(self, *, watched: bool = True, group: bool = False) -> None: ...


@pytest.fixture(scope="session")
def houses_registry(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Folders with the registered houses, each kind made when it is first asked for."""

    @cache
    def made(watched: bool, group: bool) -> Path:
        folder = tmp_path_factory.mktemp("houses_registry")
        copied(empty_store.parent, folder)
        with at_work_in(folder):
            register(folder, watched=watched, group=group)
        return folder

    return made


@pytest.fixture
def put_houses(houses_registry: Callable[..., Path], tracking: Workspace) -> Put:
    """Copy the registered houses into the test's store."""

    def put(*, watched: bool = True, group: bool = False) -> None:
        copied(houses_registry(watched, group), tracking.folder)
        utils._artifact_repos_cache.clear()  # by run: the same runs were in another test's folder

    return put
