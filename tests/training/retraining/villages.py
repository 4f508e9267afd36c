"""A small world of houses whose prices change: versions fitted in a moment, and days of answers with their outcomes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from data.splits import SplitRule, split_table
from data.tables import Table, describe
from training.captures import DayOfRows
from training.commands import watches
from training.compiling import compile_verified, pack_frame, write_scorer
from training.monitoring import Known, Reference, reference_of
from training.records import ledger, model_registry, monitor_run, tag_names
from training.retraining import Asked
from training.versions import flavor

NAMES = ["area", "rooms", "town"]
KINDS = {"area": "number", "rooms": "number", "town": "category", "price": "number"}
RULE = SplitRule("hash", tuple(NAMES), 0.15, salt="houses", kinds={name: KINDS[name] for name in NAMES})
BEGIN = date(2026, 3, 1)
HARM = {"harm": "the mean error is 40 % above what was promised"}


def houses(count: int, *, seed: int, slope: float) -> pd.DataFrame:
    """Houses whose price grows by so much with their area."""
    random = np.random.default_rng(seed)
    area, rooms = random.uniform(40, 200, count), random.integers(1, 7, count).astype(float)
    town = random.choice(["Aa", "Bee", "Cee"], count)
    price = slope * area + 15.0 * rooms + (town == "Cee") * 60 + 20.0 * random.normal(size=count)
    return pd.DataFrame({"area": area, "rooms": rooms, "town": town, "price": price})


def register(frame: pd.DataFrame, where: str) -> model_registry.Version:
    """Register what is fitted to a table, as a training of `where` would."""
    frame = frame[list(KINDS)].reset_index(drop=True)
    table = Table(where, frame, KINDS)
    schema, target = describe(table, NAMES, target="price"), table.numbers("price")
    towns = ColumnTransformer(
        [("towns", OneHotEncoder(handle_unknown="ignore"), ["town"])], remainder="passthrough"
    )
    model = make_pipeline(towns, Ridge()).fit(frame[NAMES], target)
    compiled = compile_verified(model, schema=schema, frame=frame[NAMES], target=target)
    folder = Path(f"scorer-{len(model_registry.versions('houses'))}")
    scorer = write_scorer(
        folder,
        graph=compiled.graph,
        schema=schema,
        frame=frame[NAMES],
        fingerprint="0" * 32,
        parity=compiled.parity,
    )
    packed = pack_frame(frame[NAMES], schema)
    answers = scorer.predict_with_scale(packed)
    absolute = np.abs(target - answers[:, 0])
    reference = reference_of(Known(packed, packed, answers, absolute, None), schema, None, seed=0)
    with mlflow.start_run() as run:
        mlflow.log_param("data", where)
        mlflow.log_metrics({"rows_train": float(len(frame)), "holdout_mae": float(absolute.mean())})
        logged = flavor.log_version(
            model,
            schema=schema,
            scorer_folder=folder,
            input_example=frame[NAMES].head(3),
            reference=reference.as_dict(),
        )
    tags = model_registry.describe_rows(split_table(table, RULE), schema, "0" * 32)
    tags |= {tag_names.DIGEST: logged.digest}
    return model_registry.register("houses", logged, run_id=run.info.run_id, tags=tags, description="")


def promote_first() -> None:
    """Register and promote a champion."""
    made = register(houses(600, seed=0, slope=2.0), "houses.csv")
    ledger.record(ledger.settle("houses"), made, kind="promotion", reason="the first")


@dataclass
class Village:
    """A champion that was trained in another world, and its answers by day."""

    champion: model_registry.Version
    reference: Reference
    folder: Path
    days: list[DayOfRows] = field(default_factory=list)
    by: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Village:
        """Watch the champion that `promote_first` made."""
        champion = model_registry.version("houses", "1")
        written = json.loads((champion.folder / flavor.REFERENCE).read_text(encoding="utf-8"))
        return cls(champion, Reference.from_dict(written), folder)

    def live(self, days: int, *, slope: float, rows: int = 40) -> None:
        """Let days pass in which the champion answers."""
        for _ in range(days):
            number = len(self.days)
            frame = houses(rows, seed=100 + number, slope=slope)
            self.by.append(self.champion.number)
            day = (BEGIN + timedelta(days=number)).isoformat()
            self.days.append(
                DayOfRows(
                    day=day,
                    frame=frame[NAMES],
                    predictions=self.champion.predict(frame[NAMES]),
                    scale=np.full(rows, np.nan),
                    ids=np.array([f"{number}-{row}" for row in range(rows)], dtype=object),
                    times=np.datetime64(day, "us") + np.arange(rows).astype("timedelta64[s]"),
                    shares=np.ones(rows),
                    actual=frame["price"].to_numpy(copy=True),
                    rows=rows,
                )
            )

    def day_names(self, version: model_registry.Version) -> list[str]:
        """What the reader of captures has of a version."""
        return [day.day for day, by in zip(self.days, self.by, strict=True) if by == version.number]

    def read(self, version: model_registry.Version, name: str) -> DayOfRows:
        """What the reader of captures gives."""
        self.reads.append(name)
        its = zip(self.days, self.by, strict=True)
        (day,) = (day for day, by in its if (by, day.day) == (version.number, name))
        return day

    def asked(
        self,
        *,
        alarms: dict[str, str] | None = None,
        since: str = BEGIN.isoformat(),
        independent: bool = True,
        unwatched: tuple[str, ...] = (),
        immature: int = 0,
        **wishes: object,
    ) -> Asked:
        """What the monitor asks on the evening of the last day."""
        return Asked(
            champion=self.champion,
            reference=self.reference,
            alarms={
                kind: SimpleNamespace(since=since, cause=cause) for kind, cause in (alarms or {}).items()
            },
            matured=self.days[-1 - immature].day if self.days else "",
            unwatched=unwatched,
            independent=independent,
            folder=self.folder,
            day_names=self.day_names,
            read=self.read,
            wishes=watches.Retraining(retrain="auto", **wishes),
            run=monitor_run("houses"),
            say=lambda step, outcome: self.said.append(f"{step}: {outcome}"),
        )

    def heard(self) -> str:
        """What was said since the last time."""
        said, self.said = "\n".join(self.said), []
        return said


def by_hand(village: Village) -> model_registry.Version:
    """A version of a person's own, made from all there is, which bears the alias."""
    made = register(pd.concat([day.frame.assign(price=day.actual) for day in village.days]), "by hand")
    model_registry.name_challenger("houses", made.number)
    return made


def refusals() -> list[str]:
    """The versions that were refused, in order."""
    return [entry.to_version for entry in ledger.read("houses").entries if entry.kind == "refusal"]
