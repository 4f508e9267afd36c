"""What the gate makes of a version that cannot be measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from training.challenger import judging
from training.commands.policies import BETTER
from training.gate import Trial
from training.records import model_registry
from training.records.errors import FilesAway, WrongFiles


def judged_where(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Judge a first version that fails so."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Trial, "of", fail)
    version = model_registry.Version("line", "1", "run", {})
    history = cast("Any", SimpleNamespace(current=None))
    return judging.judge(version, cast("Any", None), history, BETTER)


def test_an_outage_is_no_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal stands in the ledger for ever; a bucket is back in a minute."""
    with pytest.raises(FilesAway):
        judged_where(FilesAway(name="line", version="1", fault="no answer"), monkeypatch)


def test_files_that_are_others_are_a_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    """They will be others tomorrow, too."""
    decision = judged_where(WrongFiles(name="line", version="1", fault="they changed"), monkeypatch)
    assert not decision.promoted
    assert "they changed" in decision.reason
