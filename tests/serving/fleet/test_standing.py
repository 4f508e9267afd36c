"""What the page says of a version beyond its files: its figures, the ledger's last entries, the monitor's alarms."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from serving.fleet import Followed, Rules
from serving.fleet.standing import standing_of
from serving.registry import Cache, resolve
from training.records import ledger, model_registry, monitor_run

FIGURES = {
    "holdout_rmse": 17.3,
    "holdout_rmse_low": 16.6,
    "holdout_rmse_high": 18.0,
    "rows_holdout": 4942.0,
    "interval_coverage_90": 0.903,
    "scorer_row_us": 48.0,
}
SHORT = {"rmse": 17.3, "low": 16.6, "high": 18.0, "rows": 4942.0, "coverage_90": 0.903}


def test_a_version_is_told_with_figures_entries_and_alarms(store):
    """Each is left out where there is none; alarms are said of the version that is watched."""
    resolved = resolve("models:/line@champion")
    first = standing_of(resolved)
    assert [each["to"] for each in first["entries"]] == ["1"]
    assert first.keys() == {"entries"}
    run_id = model_registry.version("line", "1").run_id
    for name, value in FIGURES.items():
        store.client.log_metric(run_id, name, value)
    ledger.record(
        ledger.settle("line"), model_registry.version("line", "2"), kind="refusal", reason="no " * 300
    )
    monitor = monitor_run("line")
    assert "monitor" not in standing_of(resolved), "one that has not said anything yet"
    monitor.say_alarms("inputs since 2026-07-01: x", "1")
    monitor.close()
    told = standing_of(resolved)
    assert told["judged"] == SHORT
    newest = told["entries"][0]
    assert (newest["kind"], newest["to"], len(newest["reason"])) == ("refusal", "2", 400)
    assert (told["monitor"]["alarms"], told["monitor"]["version"]) == ("inputs since 2026-07-01: x", "1")
    monitor.say_alarms("", "1")
    assert standing_of(resolved)["monitor"]["alarms"] == ""


def test_the_registry_is_asked_for_it_seldom_and_only_for_a_page(store, monkeypatch):
    """A minute apart, and whatever goes wrong there stops nothing."""
    asked, clock = [], [1000.0]
    monkeypatch.setattr(
        "serving.fleet.following.time", SimpleNamespace(monotonic=lambda: clock[0], time=lambda: 1.0)
    )
    monkeypatch.setattr(
        "serving.fleet.following.standing_of", lambda each: asked.append(each) or {"entries": asked}
    )
    cache = Cache(store.workspace.folder / "cache")
    silent = Followed("", "models:/line@champion", Rules(cache))
    silent.tell()
    assert (asked, silent.status.standing) == ([], {})
    telling = Followed("", "models:/line@champion", Rules(cache, tells=True))
    for moment in (0.0, 30.0, 59.0, 61.0):
        clock[0] = 1000.0 + moment
        telling.tell()
    assert len(asked) == 2
    monkeypatch.setattr("serving.fleet.following.standing_of", lambda each: 1 / 0)
    clock[0] += 100.0
    telling.tell()
    assert telling.status.standing == {"entries": asked}


@pytest.mark.parametrize("standing", [{}, {"judged": SHORT}])
def test_status_has_it_where_there_is_something_to_say(standing):
    """Who reads /status without a page reads what it always did."""
    from serving.front.served import Served

    shown = SimpleNamespace(show_state=lambda *_, **__: None, serves=lambda *_: None)
    model = SimpleNamespace(key="k", name="line", version="1", public_name="line")
    runtime = SimpleNamespace(model=model, description=SimpleNamespace(label="1", digest="d"))
    served = Served([runtime], shown)
    said = served.status({"k": {"state": "READY", "seen": 1.0, "standing": standing}}, draining=False)
    assert said["models"]["k"].get("standing", {}) == standing
    assert ("standing" in said["models"]["k"]) is bool(standing)
