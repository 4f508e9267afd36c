"""What Prometheus gets of a monitor, read back by its own parser."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from training.errors import UsageError
from training.jobs import gauges

FIGURES = {
    "evidence_inputs": -0.5,
    "evidence_coverage_90": 2.75,
    "interval_coverage_50": 0.48,
    "interval_coverage_95": 0.93,
    "rmse": 17.25,
    "labelled_share": 0.75,
    "rows": 90.0,
}
LATEST = gauges.Latest("flights", "3", FIGURES, ["coverage"], "2026-11-28")


def read(path: Path) -> dict[tuple[str, str], float]:
    """Each value by its name and the label that is neither model nor version."""
    found = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert (labels.pop("model"), labels.pop("version")) == ("flights", "3")
            found[sample.name.removeprefix("slipway_monitor_"), "".join(labels.values())] = sample.value
    return found


def test_every_figure_has_its_gauge(tmp_path: Path) -> None:
    """Each kind of alarm has one, raised or not: an alert needs a 0 to come back to."""
    gauges.write(str(tmp_path / "flights.prom"), LATEST)
    assert read(tmp_path / "flights.prom") == {
        ("evidence", "inputs"): -0.5,
        ("evidence", "coverage_90"): 2.75,
        **{("alarm", kind): float(kind == "coverage") for kind in ("inputs", "errors", "harm", "coverage")},
        ("rmse", ""): 17.25,
        ("coverage", "0.5"): 0.48,
        ("coverage", "0.95"): 0.93,
        ("labelled_share", ""): 0.75,
        ("last_day_timestamp_seconds", ""): 1795824000.0,
    }
    assert [each.name for each in tmp_path.iterdir()] == ["flights.prom"], "nothing is left beside it"


def test_what_is_not_known_has_no_value(tmp_path: Path) -> None:
    """A zero would be an error of zero, or a day in 1970."""
    gauges.write(str(tmp_path / "flights.prom"), gauges.Latest("flights", "3", {}, [], ""))
    assert {name for name, _ in read(tmp_path / "flights.prom")} == {"alarm"}


def test_a_place_that_takes_no_file_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A folder stands where the file should be: as little can be put there as on a full disk."""
    place = tmp_path / "flights.prom"
    (place / "taken").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"cannot be written: .*: what was found is in MLflow all the same"):
        gauges.write(str(place), LATEST)
    assert [each.name for each in tmp_path.iterdir()] == ["flights.prom"]
