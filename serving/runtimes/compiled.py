"""A compiled version, loaded in the process that answers: its scorer, and who is scored together.

It knows neither HTTP nor the registry. Its counterpart is `serving.runtimes.model_processes`, for models that do not
compile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from serving import openapi, page
from serving.errors import TooSlow
from serving.openapi import of_scorer
from serving.protocols import Call, responses, tensors
from serving.rows import Rows
from serving.runtimes.background import INLINE_BYTES, Background
from serving.runtimes.joining import Score, Together
from serving.runtimes.runtime import Description, Predicted, Scored
from serving.scorer import Bounds, Floats, Scorer, Session
from serving.settings import Model

INLINE_SECONDS = 0.001
"""Longer work is done in a thread, so that the loop answers others meanwhile."""
ANSWER_BYTES = 64
"""That a row's answer takes while it is scored and written, at most."""
EXPLAINING_BYTES, REASON_BYTES = 64 * 2**20, 400
"""That explaining takes, and what each cell's reason does while it is written."""

A = TypeVar("A")


@dataclass(frozen=True)
class CompiledRuntime:
    """One loaded version: its scorer, and who is scored together."""

    model: Model
    scorer: Scorer
    together: Together
    together_scaled: Together
    inline_rows: int
    description: Description

    @classmethod
    def load(cls, model: Model, *, threads: int) -> CompiledRuntime:
        """Read, check, replay and warm a version; raises ModelError."""
        scorer = Scorer.load(Path(model.folder), threads=threads, digest=model.digest)
        scorer.replay_golden()
        return cls(
            model=model,
            scorer=scorer,
            together=Together(scorer.predict),
            together_scaled=Together(scorer.predict_with_scale),
            inline_rows=scorer.rows_within(INLINE_SECONDS),
            description=describe(model, scorer),
        )

    async def predict(self, call: Call[A], background: Background) -> Scored[A]:
        """Decode a call, score its rows and encode the answer; raises RequestError. Flat: most are one row."""
        protocol, schema = call.protocol, self.scorer.schema
        if call.size <= INLINE_BYTES:
            rows, form = protocol.decode(call, schema)
        else:
            read = partial(protocol.decode, call, schema)
            rows, form = await background.sized(read, size=call.size, held=call.held)
        if rows.top is not None:
            return await self._explained(call, rows, form, background)
        matrix, coverage, is_small = rows.matrix, rows.coverage, len(rows.matrix) <= self.inline_rows
        if call.held and not is_small:
            call.held.set(call.kept + matrix.nbytes + ANSWER_BYTES * len(matrix))
        scale = None
        if coverage is not None:
            scaled = await self._scaled(matrix, coverage, call.deadline, background)
            predictions, scale = scaled[:, 0], scaled[:, 1]
            answer = protocol.encode(self.scorer.bounds(scaled, coverage), rows, form, call)
        elif is_small:
            predictions = await self.together.predict(matrix, background.loop)
            answer = protocol.encode(predictions, rows, form, call)
        else:
            answer, predictions = await background.run(partial(self._answered, call, rows, form))
        predicted = Predicted(matrix, predictions, scale, rows.texts, rows.request_id)
        return Scored(answer, len(matrix), rows.extra, rows.unseen, rows.missing, predicted)

    async def _explained(self, call: Call[A], rows: Rows, form: Any, background: Background) -> Scored[A]:
        """Answer with reasons, from a thread; raises RequestError."""
        if rows.coverage is not None:
            self.scorer.intervals.quantile_for(rows.coverage)
        if call.held:
            call.held.set(call.kept + EXPLAINING_BYTES + REASON_BYTES * rows.matrix.size)
        answer, predicted = await background.aside(partial(self._reasoned, call, rows, form))
        kept = None if call.protocol.name == "explain" else predicted  # what is only looked at is no traffic
        return Scored(answer, len(rows.matrix), rows.extra, rows.unseen, rows.missing, kept)

    def _reasoned(self, call: Call[A], rows: Rows, form: Any) -> tuple[A, Predicted]:
        explainer = self.scorer.explainer()
        explainer.check_rows(len(rows.matrix))
        reasons = explainer.explain(rows.matrix, call.deadline)
        rows, values, scale = rows._replace(reasons=reasons), reasons.predictions, None
        bounds: Floats | Bounds = values
        if rows.coverage is not None:
            scaled = self.scorer.predict_with_scale(rows.matrix)
            bounds, scale = self.scorer.bounds(scaled, rows.coverage), scaled[:, 1]
        predicted = Predicted(rows.matrix, values, scale, rows.texts, rows.request_id)
        return call.protocol.encode(bounds, rows, form, call), predicted

    def _answered(self, call: Call[A], rows: Rows, form: Any) -> tuple[A, Floats]:
        """Return an answer and its predictions; raises RequestError."""
        predictions = predict(self.scorer.predict, rows.matrix, call.deadline)
        return call.protocol.encode(predictions, rows, form, call), predictions

    async def _scaled(
        self, matrix: Floats, coverage: float, deadline: float, background: Background
    ) -> Floats:
        """Return predictions and scales; raises CoverageRefused before anything is scored."""
        scorer = self.scorer
        scorer.intervals.quantile_for(coverage)
        if len(matrix) <= self.inline_rows:
            return await self.together_scaled.predict(matrix, background.loop)
        return await background.run(partial(predict, scorer.predict_with_scale, matrix, deadline))

    def close(self) -> None:
        """Leave; there is nothing to end."""


def describe(model: Model, scorer: Scorer) -> Description:
    """Return what is said of a version: all that training knew of its columns."""
    name, label, document = model.public_name, model.version or scorer.digest[:12], scorer.document
    described = openapi.document(of_scorer(document), name=name, version=label)
    servers = {"servers": [{"url": model.prefix}]} if model.key else {}
    return Description(
        name=name,
        label=label,
        digest=scorer.digest,
        mlflow=document.versions.get("mlflow", ""),
        metadata=tensors.metadata(name, label, scorer.schema, document.intervals),
        openapi=responses.dump(described | servers),
        columns=scorer.schema.columns,
        form=partial(page.of_scorer, document),
    )


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
