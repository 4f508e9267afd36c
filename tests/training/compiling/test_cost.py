"""What a graph may cost, and when it is asked."""

from __future__ import annotations

import numpy as np
import pytest

from tests.training.search.searched_rows import rows_of
from training.compiling import cost, verified
from training.compiling.errors import TooCostly
from training.models import build, portfolio


def test_what_a_graph_costs_is_asked_before_it_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison of a graph that was too slow took 24 GB."""
    random = np.random.default_rng(0)
    rows = rows_of(random.normal(size=(200, 2)), random.normal(size=200))
    fitted = build(portfolio.spec_of("ridge"), rows.schema, seed=0).fit(rows.frame, rows.target)
    compared: list[object] = []
    monkeypatch.setattr(verified, "measure_parity", lambda *_, **__: compared.append(1))
    monkeypatch.setattr(cost, "MOST_BYTES", 10)
    with pytest.raises(TooCostly, match="at most 10 are allowed"):
        verified.compile_verified(
            fitted, schema=rows.schema, frame=rows.frame, target=rows.target, cheap=True
        )
    assert not compared
