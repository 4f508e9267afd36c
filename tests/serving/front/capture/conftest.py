"""Each test of captures begins in a process that keeps no texts."""

from __future__ import annotations

import pytest

from serving.rows import coercion


@pytest.fixture(autouse=True)
def _texts_are_not_kept_elsewhere(monkeypatch):
    """Whether texts are kept is told to a whole process."""
    monkeypatch.setattr(coercion, "_most_texts", 0)
