"""A compiled version, loaded in the process that answers: its scorer, and who is scored together.

It knows neither HTTP nor the registry. Its counterpart is `serving.runtimes.pyfunc`, for models that do not compile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serving import openapi
from serving.errors import Headers, TooSlow
from serving.openapi import of_scorer
from serving.protocols import responses, tensors
from serving.scorer import Floats, Scorer, Session
from serving.settings import Model

INLINE_SECONDS = 0.001
"""Longer work is done in a thread, so that the loop answers others meanwhile."""
MOST_JOINED = 32
"""Where so many requests wait, they are scored at once, and none waits for another turn. A request of more
rows gains nothing by company."""
IDLE_TURNS = 6
"""After so many turns of the event loop without a request nobody is waited for: grpcio takes four to
hand over its next call, HTTP one to hand over all. A turn takes about 2 us."""

Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Local:
    """One loaded version. A request takes it once, so that no answer mixes two."""

    model: Model
    scorer: Scorer
    together: Together
    together_scaled: Together
    inline_rows: int
    label: str
    headers: Headers
    described: bytes

    @classmethod
    def load(cls, model: Model, *, threads: int) -> Local:
        """Read, check, replay and warm a version; raises ModelError."""
        scorer = Scorer.load(Path(model.folder), threads=threads, digest=model.digest)
        scorer.replay_golden()
        label = model.version or scorer.digest[:12]
        forms = of_scorer(scorer.document)
        described = openapi.document(forms, name=model.public_name, version=label)
        servers = {"servers": [{"url": model.prefix}]} if model.key else {}
        return cls(
            model=model,
            scorer=scorer,
            together=Together(scorer.predict),
            together_scaled=Together(scorer.predict_with_scale),
            inline_rows=scorer.rows_within(INLINE_SECONDS),
            label=label,
            headers=((b"x-model-version", label.encode()),),
            described=responses.dump(described | servers),
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """What the Open Inference Protocol says of it."""
        document = self.scorer.document
        return tensors.metadata(self.model.public_name, self.label, self.scorer.schema, document.intervals)

    @property
    def mlflow_version(self) -> str:
        """What it was logged with."""
        return self.scorer.document.versions.get("mlflow", "")

    def close(self) -> None:
        """Leave; there is nothing to end."""

    @property
    def facts(self) -> tuple[str, str, str]:
        """Name, version and digest, for the metrics."""
        return self.model.name, self.model.version, self.scorer.digest


class Together:
    """Scores the requests that come in one turn of the event loop after the other in one run of the graph.

    A run costs 30 to 100 us however few its rows are, a turn a tenth of it or less. Nobody waits for a
    clock: as soon as a few turns bring no request, those that are here are scored. The graph works row by
    row, so neighbours don't mix; a matrix product may round its last digit differently for another
    number of rows.
    """

    def __init__(self, score: Score) -> None:
        self._score = score
        self._waiting: list[tuple[Floats, asyncio.Future[Floats]]] = []

    def predict(self, matrix: Floats, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Floats]:
        """Return what these rows score, an array whose first axis is theirs."""
        promised: asyncio.Future[Floats] = loop.create_future()
        if len(matrix) > MOST_JOINED:
            promised.set_result(self._score(matrix))
            return promised
        if not self._waiting:
            loop.call_soon(self._run, loop, 0, 0)
        self._waiting.append((matrix, promised))
        return promised

    def _run(self, loop: asyncio.AbstractEventLoop, before: int, idle: int) -> None:
        idle = idle + 1 if before == len(self._waiting) else 0
        if idle < IDLE_TURNS and len(self._waiting) < MOST_JOINED:
            loop.call_soon(self._run, loop, len(self._waiting), idle)
            return
        waiting, self._waiting = self._waiting, []
        try:
            joined = waiting[0][0] if len(waiting) == 1 else np.concatenate([matrix for matrix, _ in waiting])
            values = self._score(joined)
        except Exception as error:  # each request reports it as its own
            for _, promised in waiting:
                if not promised.done():
                    promised.set_exception(error)
            return
        start = 0
        for matrix, promised in waiting:
            if not promised.done():
                promised.set_result(values[start : start + len(matrix)])
            start += len(matrix)


def predict(score: Score, matrix: Floats, deadline: float) -> Floats:
    """Return what the rows score; raises TooSlow between two blocks after the deadline."""
    if len(matrix) <= Session.BLOCK_ROWS:
        return score(matrix)
    parts = []
    for start in range(0, len(matrix), Session.BLOCK_ROWS):
        if time.perf_counter() > deadline:
            raise TooSlow("scoring took too long and was stopped: send fewer rows at once")
        parts.append(score(matrix[start : start + Session.BLOCK_ROWS]))
    return np.concatenate(parts)
