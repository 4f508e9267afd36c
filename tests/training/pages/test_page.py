"""A page shows text as it is, whatever the text, and holds all that it shows."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from fnmatch import fnmatch

import jinja2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from data.splits import SplitRule
from data.tables import Table
from tests.conftest import ROOT
from tests.training.pages.read_pages import HOSTILE, Reader
from training.commands.trainings import TrainConfig
from training.console.progress import silent
from training.gate.deciding import Check, Decision
from training.measuring import Assessment, Evaluation, HoldoutErrors, score
from training.measuring.comparison import Change, Interval
from training.measuring.importance import Contributions
from training.pages import card, evidence, rendering
from training.records import model_registry
from training.rows import arrange
from training.search import Candidate, Choice, Winner

CHANGE = Change(
    challenger=8.0, champion=10.0, change=-0.2, low=-0.3, high=-0.1, detectable=0.05, rows=40, clusters=40
)
DECISION = Decision(
    promoted=False,
    reason=HOSTILE,
    policy=HOSTILE,
    checks=(
        Check(HOSTILE, True, HOSTILE, HOSTILE),
        Check("weight of the graph", False, "60 MB", "at most 50 MB"),
    ),
    change=CHANGE,
    notes=(HOSTILE,),
    advice=HOSTILE,
)


def made(said: str, **figures: Figure) -> card.CardFacts:
    """What a training of 200 rows comes to, with one text wherever a user's own word stands; nothing is fitted."""
    target, side = f"target {said}", np.linspace(0.0, 50.0, 200)
    frame = pd.DataFrame({f"kind {said}": ["a", f"category {said}"] * 100, "area": side, target: 3 * side})
    table = Table(f"file {said}", frame, dict(zip(frame, ("category", "number", "number"), strict=True)))
    config = TrainConfig(table.where, target, units=((target, f"unit {said}"), ("area", f"size {said}")))
    rows = arrange(table, SplitRule("hash", ("area",)), config, silent)
    actual = rows.target("holdout")
    scores = score(actual, actual + 1.0)
    best = Candidate(
        {"family": "ridge", "params": {}}, cv_rmse=1.0, cv_rmse_se=0.1, fit_seconds=1.0, out_of_fold=actual
    )
    intervals = {name: Interval(8.0, 7.0, 9.0, 0.5) for name in ("rmse", "mae", "bias", "r2")}
    whole, part = HoldoutErrors("all rows", 40, intervals), HoldoutErrors(f"slice {said}", 20, intervals)
    return card.CardFacts(
        config,
        rows,
        Winner(Choice((best,), 1.0, pd.DataFrame()), best, None, None, None, 1.0, 1, 1),  # type: ignore[arg-type]
        Evaluation(actual, actual + 1.0, scores, scores, scores),
        Assessment(whole, whole, (part,), CHANGE, None),
        model_registry.Version(f"name {said}", "1", "run", {}),
        DECISION,
        figures,
    )


def test_a_users_words_stay_text_on_the_models_page() -> None:
    """A column or a category may be called anything; in a viewer on a team's server it must not run."""
    page = Reader(card.card(made(HOSTILE)))
    places = ("kind", "category", "target", "file", "unit", "slice", "name", "Decision: kept champion:")
    assert [place for place in places if f"{place} {HOSTILE}" not in page.text] == []
    assert f"What would help: {HOSTILE}." in page.text
    assert f"area [size {HOSTILE}]" in page.text
    assert not {"script", "b", "img"} & set(page.tags)


def test_a_users_words_stay_text_on_the_page_of_a_decision() -> None:
    """Title, reason, policy, advice, each cell of a requirement and each note."""
    page = Reader(evidence.card(HOSTILE, DECISION, {}))
    assert page.text.count(HOSTILE) == 9
    assert not {"script", "b", "img"} & set(page.tags)


def test_the_name_of_a_picture_stays_within_its_attribute() -> None:
    """It is shown where the picture is not."""
    page = Reader(evidence.card("houses", DECISION, {f'" onerror="alert(1) {HOSTILE}': Figure()}))
    assert page.tags.count("img") == 1
    assert not {"script", "b"} & set(page.tags)


def test_a_page_loads_nothing_from_elsewhere() -> None:
    """MLflow's viewer shows it in a frame of its own, and people send it on by mail."""
    names = ("predicted_against_actual", "slices", "interval_coverage", "permutation_importance")
    page = Reader(card.card(made("plain", **{name: Figure() for name in names})))
    assert len(page.addresses) == len(names)
    assert all(address.startswith("data:image/png;base64,iVBOR") for address in page.addresses)
    assert not {"script", "link", "iframe", "a"} & set(page.tags)


def test_a_page_says_what_could_not_be_measured() -> None:
    """An empty heading would look like a fault of the page."""
    whole = made("plain")
    few = replace(
        whole, assessment=replace(whole.assessment, slices=()), decision=Decision(True, "the first")
    )
    shown, bare = (Reader(card.card(each)).text for each in (whole, few))
    assert "Slices\nThe 1 of 1 slices" in shown
    assert "Against the champion, RMSE -20 % [-30 %, -10 %] on 40 shared rows." in shown
    assert "Slices\n" not in bare
    assert "Against the champion" not in bare
    assert "What would help" not in bare
    assert "there are too few training rows to leave out some of them" in bare
    assert "There are too few rows for prediction intervals." in bare


def test_the_card_says_on_how_many_rows_columns_add_what_they_add() -> None:
    """Beside the importance; where nothing is known of it, why."""
    whole = made("plain", permutation_importance=Figure(), dependence=Figure())
    rows = np.ones((37, 2))
    exact, sampled = (
        replace(whole, contributions=Contributions(("a", "b"), rows, rows, exact)) for exact in (True, False)
    )
    asked = replace(whole, config=replace(whole.config, explain=False), figures={})
    shown = [" ".join(Reader(card.card(each)).text.split()) for each in (exact, sampled, whole, asked)]
    assert "is taken over 37 rows of the holdout. A column" in shown[0]
    assert "over 37 rows of the holdout, each contribution from sampled orders of the columns. A" in shown[1]
    assert "was not measured: the run says why" in shown[2]
    assert "trained with explain=false" in shown[3]
    assert [text.count("What the strongest columns add") for text in shown] == [1, 1, 1, 0]


def test_a_requirement_says_whether_it_holds() -> None:
    """In words, not by colour alone."""
    page = Reader(evidence.card("houses version 2", DECISION, {}))
    holds, graph, fails = (
        page.text.index(word) for word in ("holds", "weight of the graph", "does not hold")
    )
    assert holds < graph < fails


def test_a_value_that_nobody_gave_is_an_error() -> None:
    """An empty place in a page looks like a figure of nothing."""
    with pytest.raises(jinja2.UndefinedError, match="'pictures' is undefined"):
        rendering.page("evidence.html", title="houses", decision=DECISION)


def test_no_template_lets_a_value_through_as_it_is() -> None:
    """One `safe` is enough for a hole; a figure goes in as base64 and needs none."""
    templates = list(rendering.TEMPLATES.iterdir())
    assert len(templates) > 1
    for template in templates:
        assert not re.search(r"\bsafe\b|autoescape", template.read_text(encoding="utf-8")), template.name


def test_what_the_packages_read_beside_their_modules_is_installed_with_them() -> None:
    """A wheel without its templates would end a training at its last step."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    patterns = [
        f"{package.replace('.', '/')}/{name}" for package, names in settings.items() for name in names
    ]
    read = [path for path in rendering.TEMPLATES.rglob("*") if path.is_file()]
    read += [path for path in (ROOT / "serving").rglob("*") if path.suffix in {".json", ".pb", ".proto"}]
    left_out = [
        path for path in read if not any(fnmatch(str(path.relative_to(ROOT)), each) for each in patterns)
    ]
    assert left_out == []
