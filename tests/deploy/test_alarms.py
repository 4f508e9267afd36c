"""Each alarm in Prometheus' own hands: what raises it, and what does not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT, missing_part
from tests.deploy.manifests import KUBERNETES, objects_in, of_kind
from training.jobs.gauges import KINDS

SERVES = 'slipway_model{name="m", version="1", digest="a", pod="x"}'
READY = 'slipway_state{model="m", state="READY"}'
GOOD = 'slipway_requests_total{protocol="v2", status="200"}'
RAISED: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "SlipwayAbsent": ({SERVES: "0x200"}, {SERVES: "1x200"}, ""),
    "SlipwayVersionRefused": (
        {'slipway_state{model="m", state="REFUSED"}': "1x200", READY: "0x200"},
        {'slipway_state{model="m", state="REFUSED"}': "0x200", READY: "1x200"},
        "m",
    ),
    "SlipwayRegistryStale": (
        {'slipway_registry_stale_seconds{model="m"}': "0+60x200"},
        {'slipway_registry_stale_seconds{model="m"}': "599x200"},
        "m",
    ),
    "SlipwayLedgerDisagrees": (
        {
            'slipway_ledger_agrees{model="m", pod="x"}': "1x200",
            'slipway_ledger_agrees{model="m", pod="y"}': "0x200",
        },
        {'slipway_ledger_agrees{model="m"}': "1x200"},
        "m",
    ),
    "SlipwayErrors": (
        {GOOD: "0+98x200", 'slipway_requests_total{protocol="v1", status="503"}': "0+2x200"},
        {GOOD: "0+98x200", 'slipway_requests_total{protocol="v1", status="422"}': "0+2x200"},
        "",
    ),
    "SlipwayRefusesCallers": (
        {GOOD: "0+70x200", 'slipway_requests_total{protocol="v1", status="400"}': "0+30x200"},
        {GOOD: "0+90x200", 'slipway_requests_total{protocol="v1", status="400"}': "0+10x200"},
        "",
    ),
    "SlipwaySlow": (
        {
            f'slipway_seconds_bucket{{le="{le}"}}': f"0+{count}x200"
            for le, count in (("0.5", 98), ("1.0", 100), ("+Inf", 100))
        },
        {
            f'slipway_seconds_bucket{{le="{le}"}}': f"0+{count}x200"
            for le, count in (("0.25", 98), ("0.5", 100), ("+Inf", 100))
        },
        "",
    ),
    "SlipwayUnseenCategories": (
        {
            'slipway_unseen_categories_total{column="c"}': "0+6x200",
            'slipway_rows_total{pod="x"}': "0+100x200",
        },
        {
            'slipway_unseen_categories_total{column="c"}': "0+4x200",
            'slipway_rows_total{pod="x"}': "0+100x200",
        },
        "c",
    ),
    "SlipwayVersionsDiffer": (
        {SERVES: "1x200", SERVES.replace('"a"', '"b"').replace('"x"', '"y"'): "1x200"},
        {  # a second model, a version that was served before, and the same one in another pod
            SERVES: "1x200",
            SERVES.replace('"m"', '"other"').replace('"a"', '"b"'): "1x200",
            SERVES.replace('"a"', '"before"').replace('"1"', '"0"'): "0x200",
            SERVES.replace('"x"', '"y"'): "1x200",
        },
        "m",
    ),
    "SlipwayCapturesLost": (
        {'slipway_capture_dropped_rows_total{reason="disk"}': "0+5x200"},
        {'slipway_capture_dropped_rows_total{reason="rate"}': "0+5x200"},
        "disk",
    ),
}
"""Series that raise an alarm within two hours, others that do not, and what its first sentence has to name."""


def rules() -> dict[str, Any]:
    """Return the groups of rules, as a file of Prometheus' own has them."""
    (found,) = of_kind(objects_in(KUBERNETES / "overlays" / "monitoring"), "PrometheusRule")
    spec: dict[str, Any] = found["spec"]
    return spec


def promtool(folder: Path, *words: str) -> str:
    """Return what Prometheus' own tool says."""
    if not shutil.which("promtool"):
        missing_part("promtool (apt-get install prometheus)")
    done = subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def expected(rule: dict[str, Any], named: str) -> dict[str, Any]:
    """Return an alarm as it is raised; what it names stands in its first sentence."""
    label = rule["annotations"]["summary"].partition("{{ $labels.")[2].partition(" ")[0]
    assert (label != "") == (named != ""), rule["alert"]
    said = {
        kind: text.replace(f"{{{{ $labels.{label} }}}}", named) for kind, text in rule["annotations"].items()
    }
    return {"exp_labels": rule["labels"] | ({label: named} if named else {}), "exp_annotations": said}


def case(name: str, series: dict[str, str], alarms: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what Prometheus is asked: the alarms of a name after two hours of such series."""
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": values} for each, values in series.items()],
        "alert_rule_test": [{"eval_time": "2h", "alertname": name, "exp_alerts": alarms}],
    }


def test_each_alarm_is_raised_by_what_it_is_for_and_by_nothing_less(tmp_path: Path) -> None:
    """Prometheus evaluates them: an alarm for ever is one that nobody looks at, and one that never comes is worse."""
    alarms = {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"]}
    assert set(RAISED) == set(alarms)
    cases = [case("SlipwayAbsent", {}, [expected(alarms["SlipwayAbsent"], "")])]  # all others are silent then
    for name, (bad, good, named) in RAISED.items():
        cases += [case(name, bad, [expected(alarms[name], named)]), case(name, good, [])]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules()))
    (tmp_path / "tests.yaml").write_text(json.dumps({"rule_files": ["rules.yaml"], "tests": cases}))
    assert f"{len(alarms)} rules found" in promtool(tmp_path, "check", "rules", "rules.yaml")
    promtool(tmp_path, "test", "rules", "tests.yaml")


def test_each_alarm_has_its_section_in_the_runbook() -> None:
    """Who is woken up looks for its name; a section of an alarm that is gone wakes nobody."""
    page = (ROOT / "docs" / "operations.md").read_text().partition("\n## Alarms\n")[2]
    sections = dict(re.findall(r"^### (.*)\n((?:(?!#).*\n?)*)", page, re.MULTILINE))
    alarms = [rule["alert"] for group in rules()["groups"] for rule in group["rules"]]
    assert list(sections) == [*alarms, *(f"The monitor's {kind}" for kind in KINDS), "Nobody watches"]
    assert [name for name, text in sections.items() if len(text.split()) < 15] == []
