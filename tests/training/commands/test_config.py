"""Every value of the command line is checked, and the nearest known word is named."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from training.commands.checking import CheckConfig
from training.commands.parser import parse
from training.commands.registered import HistoryConfig, PromoteConfig
from training.commands.rereading import asked_then
from training.commands.trainings import TrainConfig
from training.errors import UsageError

GOOD = ["train", "--data", "folder/houses.csv", "--target", "price"]


def test_the_name_is_taken_from_the_file() -> None:
    """Two flags are enough for a table."""
    assert parse(GOOD) == TrainConfig("folder/houses.csv", "price", "houses")


def test_what_mlproject_passes_for_defaults_is_the_default() -> None:
    """MLflow hands an unset parameter on as an empty text."""
    unset = [f"--{name}=" for name in ("name", "query", "exclude", "key", "time_column", "units")]
    assert parse([*GOOD, *unset]) == parse(GOOD)


def test_lists_and_units_are_read_with_quoted_commas() -> None:
    """A column's name may hold a comma."""
    config = parse([*GOOD, "--exclude", 'a, "b,c"', "--units", "price=EUR,area=m²"])
    assert isinstance(config, TrainConfig)
    assert config.exclude == ("a", "b,c")
    assert config.units == (("price", "EUR"), ("area", "m²"))


@pytest.mark.parametrize("words", [[], ["check", "--data", "a.csv"]])
def test_readings_come_through_the_shell_and_back(words: list[str]) -> None:
    """A comma for a decimal mark, and dashes that argparse would take for parameters of its own."""
    given = ["--read", "price:currency+decimal-comma,a:b:text", "--missing", "-,?,-200", "--decimal", ","]
    asked = parse([*(words or GOOD), *given])
    assert isinstance(asked, TrainConfig | CheckConfig)
    assert asked.read == (("price", "currency+decimal-comma"), ("a:b", "text"))
    assert (asked.missing, asked.decimal) == (("-", "?", "-200"), ",")
    if isinstance(asked, TrainConfig):
        params = asked.as_params()
        assert asked_then(params) == asked.asked
        again = [f"--{name}={value}" for name, value in params.items() if value and name != "margin"]
        assert parse(["train", *again]).asked == asked.asked  # type: ignore[union-attr]


@pytest.mark.parametrize("empty", [True, False])
def test_what_was_not_said_is_told_apart_from_the_default(empty: bool) -> None:
    """MLproject passes an empty text for it; only what is said can be another split than the name's."""
    names = ("split", "holdout", "header")
    unsaid = parse([*GOOD, *(f"--{name}=" for name in names if empty)])
    assert isinstance(unsaid, TrainConfig)
    assert not set(names) & set(unsaid.said_params())
    said = parse([*GOOD, "--split=hash", "--holdout=0.15", "--header=auto"])
    assert isinstance(said, TrainConfig)
    assert (said.split, said.holdout, said.header) == ("hash", 0.15, "auto")
    assert set(names) <= set(said.said_params())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--read", "price:curency"], "did you mean 'currency'"),
        (["--read", "price"], "must be column:word pairs"),
        (["--decimal", ";"], "must be one of ,, comma, ., point"),
        (["--tarjet", "x"], "unknown parameter 'tarjet': did you mean 'target'"),
        (["--exlude=x"], "did you mean 'exclude'"),
        (["--split", "tine"], "did you mean 'time'"),
        (["--split", "time"], "split=time needs time_column"),
        (["--time_column", "day"], "time_column=day goes with split=time, found split=hash"),
        (["--split", "group", "--group_column", "g", "--key", "k"], "key goes with split=hash"),
        (["--holdout", "0.9"], "'0.9' must be a share between 0.01 and 0.5"),
        (["--holdout", "nan"], "'nan' must be a share"),
        (["--seed", "-1"], "must be a whole number"),
        (["--promote", "always"], "must be one of auto, never"),
        (["--units", "price"], "must be column=unit pairs"),
        (["--name", "a/b"], "must be up to 100 letters"),
        (["--target", " "], "is empty, must be a column"),
    ],
)
def test_a_wrong_value_is_refused_with_the_rule_and_the_value(words: list[str], says: str) -> None:
    """MLflow checks none of them."""
    with pytest.raises(UsageError, match=says):
        parse([*GOOD, *words])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--data", "t.csv", "--time_column", "day", "--retrain", "auto"], "pass captures=DIR"),
        (
            ["--captures", "c", "--retrain", "auto", "--version", "3"],
            "follows the champion: leave version out",
        ),
        (["--captures", "c", "--max_age", "90d"], "max_age goes with retrain=auto"),
        (["--captures", "c", "--retrain", "auto", "--value", "3"], "value and cost go together"),
        (["--captures", "c", "--retrain", "auto", "--cost", "nan"], "'nan' must be a number above 0"),
    ],
)
def test_what_a_retraining_cannot_be_asked_is_said_before_the_work(words: list[str], says: str) -> None:
    """A night's run that ignores what was asked is found a week later."""
    with pytest.raises(UsageError, match=says):
        parse(["monitor", "--name", "x", *words])


def test_a_database_needs_a_name() -> None:
    """Its URL has none, and may hold a password."""
    with pytest.raises(UsageError, match="pass name=") as caught:
        parse(
            ["train", "--data", "postgresql://me:secret@host/db", "--target", "price", "--query", "SELECT 1"]
        )
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "data", ["s3://bucket/sales/houses.csv.gz", "lake/houses@3", "s3://bucket/houses@v3/"]
)
def test_a_table_in_a_store_or_with_a_version_gives_its_name(data: str) -> None:
    """No bucket and no number of a version is a part of it: later trainings are versions of the same model."""
    assert parse(["train", "--data", data, "--target", "price"]).name == "houses"


def test_promote_takes_a_version() -> None:
    """A word is none."""
    assert parse(["promote", "--name", "houses", "--version", "3"]) == PromoteConfig("houses", "3")
    with pytest.raises(UsageError, match="must be a version's number"):
        parse(["promote", "--name", "houses", "--version", "latest"])


def test_history_takes_a_moment_in_utc() -> None:
    """Unless it says otherwise; an empty one asks for all, and a word is none."""
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    for word in ("2026-11-01T12:00", "2026-11-01 12:00Z", "2026-11-01T13:00+01:00"):
        assert parse(["history", "--name", "houses", "--at", word]) == HistoryConfig("houses", noon)
    assert parse(["history", "--name", "houses", "--at", ""]) == HistoryConfig("houses")
    with pytest.raises(UsageError, match="'noon' must be a moment, such as 2026-11-01T12:00"):
        parse(["history", "--name", "houses", "--at", "noon"])


@pytest.mark.parametrize(("rows", "seconds"), [(200, 10.0), (1_000, 30.0), (9_999, 30.0), (10_000, 60.0)])
def test_the_budget_follows_the_rows_where_none_is_given(rows: int, seconds: float) -> None:
    """Two hundred rows need no minute; what was given is kept, and what was not stays so in the record."""
    for word in ([], ["--time_budget", "auto"], ["--time_budget", ""]):
        config = parse([*GOOD, *word])
        assert config.seconds_for(rows) == seconds
        assert config.as_params()["time_budget"] == "auto"
    assert parse([*GOOD, "--time_budget", "7"]).seconds_for(rows) == 7.0
