"""A parameter is said once, at its command's field: the parser, the record and MLproject say the same."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from serving.batch import __main__ as batch
from tests.conftest import ROOT
from training.__main__ import RUN
from training.commands.checking import CheckConfig
from training.commands.command import Command
from training.commands.parameters import declared
from training.commands.parser import COMMANDS, parse
from training.commands.policies import Policy
from training.commands.registered import (
    HistoryConfig,
    PromoteConfig,
    RecalibrateConfig,
    ReproduceConfig,
    RollbackConfig,
)
from training.commands.trainings import AdoptConfig, TrainConfig
from training.commands.watches import CompactConfig, FeedbackConfig, MonitorConfig, Retraining

PROJECT: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
ENTRY_POINTS = {"main" if command is TrainConfig else command.word(): command for command in COMMANDS}

EXAMPLES = {
    "main": {"data": "data/samples/flights.csv", "target": "arr_delay"},
    "score": {"name": "flights"},
}
"""What `mlflow run .` takes where nothing is said, though the command itself has to be told."""

FULL: list[Command] = [
    TrainConfig(
        data="t.csv",
        target="y",
        name="t",
        query="SELECT 1",
        header="none",
        encoding="cp1251",
        exclude=("a, b", 'say "x"'),
        split="time",
        time_column="day",
        holdout=0.25,
        seed=7,
        promote="never",
        policy=Policy("not-worse", 0.05, allow_schema_change=True),
        units=(("y", "m²"), ("a, b", "km")),
        time_budget=7.5,
        memory=1.5e9,
        trials=3,
        strict=True,
        contract="c.yaml",
        weight="w",
        monotonic=(("a, b", 1), ("c", -1)),
        result="r.json",
        read=(("a:b", "text"), ("p", "currency+decimal-comma")),
        missing=("-", "?", "p:none"),
        decimal=",",
    ),
    TrainConfig("t.csv", "y", "t", key=("id", "day")),
    AdoptConfig("t.csv", "y", "t", model="m.joblib", units=(("y", "m²"),), fail_if_kept=True),
    CheckConfig("t.csv", contract="c.yaml", target="y", time_column="day", weight="w", strict=True),
    PromoteConfig("t", "3", data="t.csv", policy=Policy("not-worse"), force=True, reason="because"),
    RecalibrateConfig("t", "t.csv", version="3", header="first"),
    CompactConfig("captures", timedelta(days=90)),
    CompactConfig("captures", timedelta(hours=36), "s3://bucket/folder"),
    FeedbackConfig("t", "captures", "t.csv", header="first", encoding="cp1251"),
    MonitorConfig(
        "t", "t.csv", "day", exclude=("a, b",), independent=True, metrics="/var/t.prom", version="3"
    ),
    MonitorConfig(
        "t",
        captures="captures",
        mature=timedelta(days=3),
        retraining=Retraining("auto", "both", "c.yaml", timedelta(days=90), 0.5, 20.0, timedelta(days=7)),
    ),
    ReproduceConfig("t", "3", data="t.csv", query="SELECT 1"),
    RollbackConfig("t", reason="it drifts"),
    HistoryConfig("t", datetime(2026, 11, 1, 12, tzinfo=UTC)),
]


def must_say(entry: str, defaults: dict[str, str | None]) -> set[str]:
    """What MLproject needs for an entry point: a line for each parameter, and its place in the command line."""
    defaults = defaults | EXAMPLES.get(entry, {})
    lines = {f"{name}: {default!r}" for name, default in defaults.items()}
    return lines | {f"--{name} {{{name}}}" for name in defaults}


def says(entry: str) -> set[str]:
    """What it says."""
    said = {f"{name}: {each.get('default')!r}" for name, each in PROJECT[entry]["parameters"].items()}
    _, *pairs = re.split(r"\s+(?=--)", PROJECT[entry]["command"].strip())
    return said | set(pairs)


def hold(entry: str, defaults: dict[str, str | None]) -> None:
    """Compare the two, and name the line."""
    needed, found = must_say(entry, defaults), says(entry)
    assert not needed - found, f"MLproject lacks of {entry}: {sorted(needed - found)}"
    assert not found - needed, f"MLproject says of {entry} what no field does: {sorted(found - needed)}"


@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_mlproject_says_what_the_commands_fields_say(entry: str) -> None:
    """MLflow fills in its own default: one that differs would be what everybody gets."""
    parameters = declared(ENTRY_POINTS[entry])
    hold(entry, {each.name: None if each.is_required else each.default_word for each in parameters})
    assert PROJECT[entry]["command"].startswith(f"python -m training {ENTRY_POINTS[entry].word()} ")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.word())
def test_help_says_what_each_parameter_is_and_its_default(command: type[Command]) -> None:
    """`--data`, `--seed` and `--promote` had neither, and no parameter had its default."""
    for each in declared(command):
        assert each.how.help, each.name
        assert each.is_required or each.default_word in each.help or "default:" in each.help, each.name


def test_mlproject_says_what_score_takes() -> None:
    """Its command line is serving's, which imports nothing of training."""
    actions = [each for each in batch.parser()._actions if each.dest != "help"]
    hold("score", {each.dest: None if each.required else each.default for each in actions})


def test_each_entry_point_is_a_command() -> None:
    """And each command is done by something."""
    assert set(PROJECT) == {*ENTRY_POINTS, "score", "serve"}
    assert set(RUN) == set(COMMANDS)


@pytest.mark.parametrize("command", FULL, ids=lambda each: type(each).__name__)
def test_what_is_recorded_is_read_back(command: Command) -> None:
    """`reproduce` reads the recorded command, whatever names and units hold."""
    words = [f"--{name}={word}" for name, word in command.as_params().items()]
    assert parse([command.word(), *words]) == command
