"""Houses that a server answered, a day at a time, as a worker would have kept them; and what the watch then says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from data.captures import Frame, FrameLayout, KeptRequest, Places, PredictionId, frame_id, record
from serving.scorer import Scorer
from tests.conftest import Workspace
from tests.training.arrivals.test_monitor import monitor_run
from tests.training.arrivals.watched_houses import NAMES, Put, houses
from training.__main__ import main
from training.compiling import pack_frame
from training.records import model_registry

FIRST = datetime(2024, 7, 1, tzinfo=UTC)


@dataclass
class Served:
    """A server that answered houses, each day at noon, as a worker would have kept it."""

    places: Places
    version: model_registry.Version
    layout: FrameLayout
    scorer: Scorer

    @classmethod
    def of(cls, folder: Path) -> Served:
        """Of version 1."""
        version = model_registry.version("houses", "1")
        schema = version.schema
        layout = FrameLayout("houses", "1", version.digest, schema.columns)
        return cls(Places(folder / "captures"), version, layout, Scorer.load(version.scorer_folder))

    def answers(
        self,
        rows: pd.DataFrame,
        day: int,
        *,
        layout: FrameLayout | None = None,
        share: float = 1.0,
        hour: int = 12,
        back: float = 0.0,
        scale: float = np.nan,
    ) -> list[str]:
        """Keep a day's rows, scored by the version; return their ids."""
        layout = layout or self.layout
        matrix = pack_frame(rows[NAMES], self.version.schema)
        moment = FIRST + timedelta(days=day, hours=hour)
        milliseconds = round(moment.timestamp() * 1_000)
        kept = [self.version.schema.names.index(column.name) for column in layout.columns]
        frame = Frame(
            id=frame_id(milliseconds, day * 1_000 + hour * 10 + int(layout.version)),
            model=layout.model,
            version=layout.version,
            digest=layout.digest,
            milliseconds=milliseconds,
            share=share,
            matrix=matrix[:, kept],
            predictions=self.scorer.predict(matrix),
            scale=np.full(len(rows), scale),
            requests=(KeptRequest(0, -back, f"of-{day}"),),
        )
        self._write(
            self.places.frames / f"{day}-{hour}-{layout.version}.frames", record(layout.head()), frame
        )
        return [str(PredictionId(frame.id, row)) for row in range(len(rows))]

    @staticmethod
    def _write(path: Path, head: bytes, frame: Frame) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(head + record(frame.head(), frame.parts()))

    def told(self, day: int, labels: list[list[Any]], *, after: float = 1.0) -> None:
        """Let labels come so many days after a day."""
        received = FIRST + timedelta(days=day + after, hours=12)
        head = {
            "kind": "labels",
            "received": round(received.timestamp() * 1_000),
            "model": "houses",
            "labels": labels,
        }
        self.places.labels.mkdir(parents=True, exist_ok=True)
        (self.places.labels / f"{day}-{after}.labels").write_bytes(record(head))


def of_id(ids: list[str], actual: Any) -> list[list[Any]]:
    """Labels by id."""
    return [
        [each, None, None, None if value is None else float(value), None]
        for each, value in zip(ids, actual, strict=True)
    ]


Look = Callable[..., tuple[int, str]]


@pytest.fixture
def served(tracking: Workspace, put_houses: Put) -> Served:
    """The registered houses, served."""
    put_houses()
    return Served.of(tracking.folder)


@pytest.fixture
def look(capfd: pytest.CaptureFixture[str]) -> Look:
    """Run the command on the captures; return its exit code and what it said."""

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = main(
            ["monitor", "--name", "houses", "--captures", "captures", "--independent", "true", *words]
        )
        return code, "".join(capfd.readouterr())

    return run


def season(served: Served, days: int, *, labelled: bool = True, seed: int = 1) -> None:
    """Serve some days of 30 houses, and say a day later what they were sold for."""
    for day in range(days):
        rows = houses(30, "2024-07-01", 1, seed=seed * 1_000 + day)
        ids = served.answers(rows, day)
        if labelled:
            served.told(day, of_id(ids, rows["price"]))


def history(name: str) -> list[float]:
    """A figure's values over the days, the last one of each."""
    run = monitor_run().info.run_id
    found = mlflow.MlflowClient().get_metric_history(run, name)
    return [value for _, value in sorted({each.step: each.value for each in found}.items())]
