"""`make loop`: half a year with a model, a break in its midst, and what the monitor makes of it; every part is real."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

BROKEN = "2013-10-01"


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_break_is_named_learned_when_a_person_says_so_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Quiet before; found within a week, the column within two; no training on what nobody vouches for."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    story = import_module("closed_loop").main(["--folder", str(tmp_path), "--every", "15"])

    alarms = [(kind, since, cause) for _, said in story.said for kind, since, cause in alarms_in(said)]
    assert min(since for _, since, _ in alarms) >= BROKEN
    first = {kind: since for kind, since, _ in reversed(alarms)}
    assert first["errors"] <= "2013-10-08"
    assert first["harm"] <= "2013-10-15"
    named = [since for kind, since, cause in alarms if kind == "inputs" and "dep_delay: " in cause]
    assert min(named) <= "2013-10-15"

    said = "\n".join(text for _, text in story.said)
    refused = said.index("did not retrain, because captured rows of flights: 2 faults")
    assert refused < said.index("because the alarm errors stands", refused) < said.index("promoted: retrain")
    served = list(dict.fromkeys(story.versions.values()))
    assert len(served) == 2, "the first champion, and the one that learned seconds"
    assert story.answered == 16_667, "each request was answered, beside the swap too"
    months = {day[:7] for day, version in story.versions.items() if version == served[1]}
    assert story.rmse("1", "2013-11") > 500.0
    assert story.rmse(served[1], *months) < 25.0


def alarms_in(said: str) -> list[tuple[str, str, str]]:
    """The kind, the day and the cause of each alarm that was raised."""
    return re.findall(r"^ *alarm +(\w+) since (\S+): (.*)$", said, flags=re.MULTILINE)
