"""A retrain splits as the versions before it did, or says which column stands in the way and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import LacksSplitColumn, OtherKind
from data.schema import Schema
from data.sources import Source, open_source
from data.splits import Split, SplitRule, split_table
from data.tables import describe, load_kept
from training.commands.trainings import TrainConfig
from training.errors import SplitChanged
from training.records import model_registry, tag_names, tracking
from training.records.errors import WrongFiles
from training.rows.known.kept_split import load_split

CONFIG = TrainConfig("houses.csv", target="price", name="houses")


def source(folder: Path, areas: list[str], day: str = "2024-01-31T08:15:00") -> Source:
    """A table of houses: area, an id of digits, a day and a price."""
    rows = [f"{area},{row},{day},{row * 7 % 13}.5" for row, area in enumerate(areas)]
    (folder / "houses.csv").write_text("\n".join(["area,id,day,price", *rows]))
    return open_source(str(folder / "houses.csv"))


AREAS = [f"{row}.25" for row in range(300)]


def first_split(folder: Path) -> Split:
    """What the first training makes of them."""
    _, table, rule = load_split(CONFIG, source(folder, AREAS))
    return split_table(table, rule)


def registered(
    monkeypatch: pytest.MonkeyPatch, rule: Mapping[str, object], schema: Schema | Exception | None = None
) -> None:
    """Let the registry have one version of the name, with this rule and these columns."""

    class Known(model_registry.Version):
        @property
        def schema(self) -> Schema:  # type: ignore[override]
            if isinstance(schema, Schema):
                return schema
            raise schema or WrongFiles(name="houses", version="1", fault="gone")

    version = Known("houses", "1", "run", {tag_names.SPLIT: json.dumps(rule)})
    monkeypatch.setattr(model_registry, "versions", lambda _: [version])
    monkeypatch.setattr(tracking, "recorded_contract", lambda *_, **__: None)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry without versions."""
    monkeypatch.setattr(model_registry, "versions", lambda _: [])


@pytest.mark.usefixtures("nobody")
def test_a_retrain_reads_the_columns_as_the_first_training_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stray text moved 155 of 234 held-out rows to the training side."""
    before = first_split(tmp_path)
    registered(monkeypatch, before.rule.as_dict())
    with pytest.raises(OtherKind, match=r"houses\.csv, row 301: column 'area' is '12 km'"):
        load_split(CONFIG, source(tmp_path, [*AREAS, "12 km"]))
    _, table, rule = load_split(CONFIG, source(tmp_path, [*AREAS, ""]))
    np.testing.assert_array_equal(split_table(table, rule).sides[:300], before.sides)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("with_schema", [True, False])
def test_versions_from_before_kinds_take_them_from_their_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_schema: bool
) -> None:
    """Their rows keep the sides that they had; where the files are gone the table says what it is, as it did."""
    table = load_kept(source(tmp_path, AREAS), {})
    old = SplitRule("hash", ("area", "id", "day"), salt="houses")
    before = split_table(table, old)
    schema = describe(table, ["area", "day"], target="price")
    written = {
        name: value for name, value in before.rule.as_dict().items() if name not in ("kinds", "values")
    }
    gone = WrongFiles(name="houses", version="1", fault="gone")
    registered(monkeypatch, written, schema if with_schema else gone)
    _, again, rule = load_split(CONFIG, source(tmp_path, AREAS))
    np.testing.assert_array_equal(split_table(again, rule).sides, before.sides)
    assert rule.kinds == {"area": "number", "id": "number", "day": "datetime"}
    if with_schema:
        with pytest.raises(OtherKind, match="row 301"):
            load_split(CONFIG, source(tmp_path, [*AREAS, "12 km"]))


@pytest.mark.usefixtures("nobody")
def test_a_retrain_without_a_column_of_the_split_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which column, where, and what else can be done."""
    registered(monkeypatch, first_split(tmp_path).rule.as_dict())
    path = tmp_path / "houses.csv"
    path.write_text(path.read_text().replace("area,", "Area,", 1))
    said = r"lacks the column 'area', one of 3 .* of houses .*is it 'Area' now.* name=.*key="
    with pytest.raises(LacksSplitColumn, match=said):
        load_split(CONFIG, open_source(str(path)))


FIRST = replace(CONFIG, holdout=0.3)
BY_TIME = replace(CONFIG, split="time", time_column="day")


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    ("first", "said", "asked"),
    [
        (FIRST, {"holdout": 0.15}, "by a hash of 3 columns, 15% held out"),
        (BY_TIME, {"split": "hash"}, "by a hash of 3 columns, 15% held out"),
        (replace(CONFIG, split="repeat"), {"split": "hash"}, "by a hash of 3 columns, 15% held out"),
        (replace(BY_TIME, holdout=0.3), {"key": ("id",)}, "by a hash of id, 30% held out"),
        (BY_TIME, {"split": "time", "time_column": "id"}, "by time id, 15% held out"),
        (replace(CONFIG, key=("id",)), {"split": "group", "group_column": "id"}, "by group id, 15% held out"),
    ],
)
def test_what_is_said_of_the_split_is_asked_for_the_default_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: TrainConfig, said: dict[str, Any], asked: str
) -> None:
    """`holdout=0.15` on a name that holds out 0.30 was taken for nothing said, and 0.30 held out."""
    opened = source(tmp_path, AREAS)
    registered(monkeypatch, load_split(first, opened)[2].as_dict())
    with pytest.raises(SplitChanged, match=f"asked was {asked}"):
        load_split(replace(CONFIG, **said), opened)


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize(
    "first",
    [
        CONFIG,
        FIRST,
        BY_TIME,
        replace(CONFIG, split="repeat"),
        replace(CONFIG, split="group", group_column="id"),
        replace(CONFIG, key=("id",), holdout=0.2),
    ],
)
def test_what_was_decided_may_be_said_again_or_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: TrainConfig
) -> None:
    """Both record the split as it is, so that the recorded command asks for the same."""
    opened = source(tmp_path, AREAS)
    begun, _, rule = load_split(first, opened)
    registered(monkeypatch, rule.as_dict())
    for config in (CONFIG, first, begun):
        assert load_split(config, opened)[0] == begun
    assert begun.as_params()["holdout"] == str(first.holdout or 0.15)
    assert begun.as_params()["split"] == first.first_split


@pytest.mark.usefixtures("nobody")
def test_a_time_column_beside_another_split_is_kept_and_splits_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says when rows were: a name may begin with it, or learn of it later."""
    registered(monkeypatch, load_split(CONFIG, source(tmp_path, AREAS))[2].as_dict())
    config, _, rule = load_split(CONFIG, source(tmp_path, AREAS))
    timed = load_split(replace(CONFIG, split="hash", time_column=" day"), source(tmp_path, AREAS))
    assert (timed[0], timed[2]) == (replace(config, time_column="day"), rule)


@pytest.mark.usefixtures("nobody")
def test_another_split_is_refused_with_the_version_that_began_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would test the champion on rows that it was trained on; a default asks for nothing."""
    keyed = replace(CONFIG, key=("id",))
    rule = load_split(keyed, source(tmp_path, AREAS))[2]
    registered(monkeypatch, rule.as_dict())
    assert load_split(CONFIG, source(tmp_path, AREAS))[2].columns == ("id",)
    with pytest.raises(SplitChanged, match="since version 1"):
        load_split(replace(CONFIG, key=("day",)), source(tmp_path, AREAS))
