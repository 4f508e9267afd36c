"""The page for people in a real browser: by mouse, by keyboard, with hostile names, at three widths and at 400 %."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import missing_part
from tests.end_to_end.browser import CHROMIUM

pytestmark = pytest.mark.soak

KEY = "a key of some length"
DRIVER = Path(__file__).with_name("page_driver.py")
PACKAGES = ("playwright==1.56.0", "axe-playwright-python==0.1.7")
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "__proto__",
    "constructor",
    '"it\'s" & <b>bold</b>',
    "城市 \u202e المدينة",
)
REASONS = {
    "prediction": 3.0,
    "base": 1.0,
    "contributions": {HOSTILE[0]: -1.5, "town": 3.0},
    "rest": 0.5,
    "exact": True,
}
COLUMNS = ("date", "month", "weekday", "hour", "dep_delay", "carrier", "origin", "dest", "distance")
CELLS = ("2013-05-01", "5", "3", "12", "7", "UA", "EWR", "IAH", "1400")


def hostile_form() -> dict[str, Any]:
    """A model of five hundred columns, called as nobody should call one, and of ten thousand categories."""
    plain = {"kind": "number", "unit": "<i>m</i>", "missing": False, "minimum": 0.5, "maximum": 9.0}
    categories = [*(f"category {number}" for number in range(9_999)), "<b>fat</b>"]
    town = {"name": "town", "kind": "category", "unit": "", "missing": True, "categories": categories}
    first, *others = [plain | {"name": name} for name in HOSTILE]
    more = [plain | {"name": f"column {number}", "missing": True} for number in range(6, 500)]
    return {
        "name": "</script><b>x</b>",
        "version": "1",
        "digest": "",
        "mlflow": "",
        "runtime": "scorer",
        "since": 1.7e9,
        "target": {"name": "<b>price</b>", "unit": "€"},
        "columns": [first, town, *others, *more],
        "examples": [dict.fromkeys(HOSTILE, 1.5) | {"town": "<b>fat</b>"}],
        "intervals": None,
        "explains": True,
    }


@pytest.fixture(scope="module")
def served(with_intervals: Path, start: Callable[..., Any]) -> Iterator[Any]:
    """The flights with intervals, for whoever asks."""
    with start("--model", f"flights={with_intervals}") as server:
        yield server


@pytest.fixture(scope="module")
def seen(
    served: Any,
    start: Callable[..., Any],
    environment_of: Callable[..., Path],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """What a browser saw, in one go."""
    if CHROMIUM is None:
        missing_part("chromium")
    keys = tmp_path_factory.mktemp("page") / "keys"
    keys.write_text(hashlib.sha256(KEY.encode()).hexdigest())
    asked = {
        "chromium": CHROMIUM,
        "flights": served.url + "/",
        "key": KEY,
        "pasted": "\n".join("\t".join(cells) for cells in (COLUMNS, CELLS, (*CELLS[:4], "70", *CELLS[5:]))),
        "faulty": ",".join(COLUMNS) + "\n" + ",".join((CELLS[0], "May", *CELLS[2:])),
        "forms": {
            "form": hostile_form(),
            "answer": {"predictions": [float(number) for number in range(64)]},
            "reasons": {"explanations": [REASONS], "target": "", "unit": ""},
        },
    }
    python = environment_of(*PACKAGES) / "python"
    options = ["--api-key-file", str(keys), "--prefix", "/at/home"]
    models = {"flights": "with_intervals", "line": "line"}
    for name, fixture in models.items():
        options += ["--model", f"{name}={request.getfixturevalue(fixture)}"]
    with start(*options) as keyed:
        asked["keyed"] = keyed.url + "/at/home"
        done = subprocess.run(
            [python, DRIVER], input=json.dumps(asked), capture_output=True, text=True, timeout=500, check=True
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def predicted(served: Any, **changed: Any) -> str:
    """What the server says of the first example with other values, as the page has it in its title."""
    row = served.call("/models/flights/model.json")[1]["examples"][0] | changed
    said = served.call("/models/flights/invocations", {"dataframe_records": [row]})[1]
    return f"exactly {said['predictions'][0]}"


STORIES = ("filled_in", "by_keyboard", "pulled", "compared", "tables", "hostile", "with_a_key", "looked_at")


@pytest.mark.parametrize("story", STORIES)
def test_nothing_goes_wrong_and_nobody_else_is_asked(seen: dict[str, Any], story: str) -> None:
    """No error on the console, nothing that the policy refuses, no dialog, and no request to another host."""
    assert seen[story]["wrong"] == []
    assert "failed" not in seen[story], seen[story].get("failed")


def test_a_row_that_is_filled_in_is_predicted_as_a_program_gets_it(seen: dict[str, Any], served: Any) -> None:
    """To the last digit; the interval is that of the share that one slides."""
    found = seen["filled_in"]
    assert found["title"] == "flights predicts arr_delay"
    assert (found["first"], found["second"]) == (predicted(served), predicted(served, dep_delay=100))
    assert found["between"].endswith("holds the truth for 90\u00a0% of such rows")
    assert found["narrow"].endswith("holds the truth for 50\u00a0% of such rows")
    assert found["between"] != found["narrow"].replace("50", "90")


def test_values_that_training_never_saw_are_named(seen: dict[str, Any]) -> None:
    """A prediction is made all the same, and a person should know on what ground it stands."""
    unusual = seen["filled_in"]["unusual"]
    assert "dep_delay: 9,999 is beyond anything seen in training" in unusual
    assert "carrier: “<b>” was not seen in training: it is scored as unknown" in unusual


def test_errors_stand_beside_the_field_that_caused_them(seen: dict[str, Any]) -> None:
    """The first of them has the focus; they go once they are mended."""
    found = seen["filled_in"]
    assert len(found["faults"]) == 2
    assert all(each.startswith("expected a finite number") for each in found["faults"])
    assert (found["focus"], found["message"], found["mended"]) == ("month", False, 0)


def test_everything_can_be_done_with_keys_alone(seen: dict[str, Any], served: Any) -> None:
    """Each control is a stop, in the order of the page; a value is pulled with the arrows."""
    found = seen["by_keyboard"]
    fields = [f"f{number}" for number in range(len(COLUMNS))]
    assert found["stops"][:16] == [
        "example",
        "clear",
        *fields,
        "predict",
        "coverage",
        "keep",
        "pulled",
        "pull",
    ]
    before, after = found["pulled"]
    assert (before, after > before, found["outline"]) == (30.0, True, "solid")
    assert found["value"] == predicted(served, dep_delay=after)


def test_a_column_is_pulled_with_the_mouse(seen: dict[str, Any], served: Any) -> None:
    """Along the curve, or by a category of the list."""
    found = seen["pulled"]
    assert found["after"] > found["before"]
    assert found["value"] == predicted(served, dep_delay=found["after"])
    assert (found["choices"], found["origin"], found["pressed"]) == (["EWR", "JFK", "LGA"], "LGA", ["LGA"])


def test_two_rows_are_compared(seen: dict[str, Any]) -> None:
    """By the columns that differ alone."""
    found = seen["compared"]
    assert [each.split("\t")[0] for each in found["table"]] == ["dep_delay"]
    assert (found["back"], found["gone"]) == ("2", True)


def test_a_pasted_table_comes_back_with_predictions(seen: dict[str, Any], served: Any) -> None:
    """As CSV, all digits; a table with a fault says row and column, and gives nothing."""
    found = seen["tables"]
    head, *rows = [each.split(",") for each in found["saved"].splitlines()]
    assert head == [*COLUMNS, "prediction", "lower", "upper"]
    body = f"{','.join(COLUMNS)}\n{','.join(CELLS)}\n".encode()
    said = served.call(
        "/models/flights/invocations?coverage=0.9", body, headers={"Content-Type": "text/csv"}
    )[1]
    assert rows[0][: len(COLUMNS)] == list(CELLS)
    assert np.array(rows[0][-3:], dtype=float).tolist() == [
        *said["predictions"],
        *said["intervals"]["lower"],
        *said["intervals"]["upper"],
    ]
    assert [each.split(":")[0] for each in found["faults"]] == ["row 1, month"]


def test_the_calls_to_copy_run(seen: dict[str, Any], served: Any, tmp_path: Path) -> None:
    """Each prints what the page shows."""
    calls, wanted = seen["tables"]["calls"], predicted(served).removeprefix("exactly ")
    commands = {"curl": ["bash", "-c", calls["curl"]], "Python": ["python", "-c", calls["Python"]]}
    if node := shutil.which("node"):
        commands["JavaScript"] = [node, "--input-type=module", "-e", calls["JavaScript"]]
    for language, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path)
        assert wanted in done.stdout, language


def test_names_are_shown_as_they_are_and_never_run(seen: dict[str, Any]) -> None:
    """A column that is HTML, one that is a property of every object, other scripts; five hundred, ten thousand."""
    found = seen["hostile"]
    assert found["labels"][0] == f"{HOSTILE[0]} <i>m</i>"
    assert [each.removesuffix(" <i>m</i>") for each in found["labels"][2:6]] == list(HOSTILE[1:])
    assert (found["elements"], found["row"], found["found"]) == (0, 500, ["column 499 <i>m</i>"])
    assert (found["offered"], found["choices"]) == (200, 64)
    assert found["seconds"] < 20


def test_reasons_lead_from_what_is_said_of_no_row_to_the_prediction(seen: dict[str, Any]) -> None:
    """The largest first, with the row's own values, and what is left as one line."""
    lines = [" ".join(each.split()) for each in seen["hostile"]["reasons"]]
    assert lines == [
        "Column Adds (€)",
        "Without knowing the row 1",
        "town <b>fat</b> +3",
        f"{HOSTILE[0]} 1.5 <i>m</i> −1.5",
        "all other columns +0.5",
        "This prediction 3",
    ]


def test_a_server_with_keys_asks_for_one_in_the_page(seen: dict[str, Any]) -> None:
    """It says no name before; the key is in no call that is shown."""
    found = seen["with_a_key"]
    assert "flights" not in found["names"]
    assert (found["models"], found["title"]) == (["flights", "line"], "line predicts y")
    assert found["url"].endswith("/at/home/#line")
    assert "$KEY" in found["call"]
    assert KEY not in found["call"]


def test_it_fits_and_can_be_read_at_each_width_in_the_light_and_the_dark(seen: dict[str, Any]) -> None:
    """The last is a window of 1280 pixels at 400 %. axe-core looks for what keeps people out."""
    looks = {name: look for name, look in seen["looked_at"].items() if name != "wrong"}
    assert len(looks) == 8
    assert {name: (look["over"], look["axe"]) for name, look in looks.items()} == dict.fromkeys(
        looks, (0, [])
    )
    assert all(look["passed"] > 20 for look in looks.values())
