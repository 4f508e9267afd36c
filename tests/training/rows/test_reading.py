"""A command's table: said how it is read, and read again as the training of its version did."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from data.errors import UnreadableSource
from data.schema import Column, Schema
from serving.batch import __main__ as batch
from serving.scorer.scoring import Scorer
from tests.conftest import Workspace
from training.__main__ import main
from training.commands import parse
from training.commands.checking import CheckConfig
from training.commands.registered import PromoteConfig
from training.commands.trainings import TrainConfig
from training.commands.watches import MonitorConfig
from training.errors import UsageError
from training.records import model_registry
from training.rows.known import how_read, known_tables
from training.rows.opened_table import open_table

ROWS = "".join(f"{'abc'[row % 3]};{row % 17 + 0.5};{row % 17 * 3 + row % 3}\n" for row in range(120))


def test_what_is_not_plain_is_said(tmp_path: Path) -> None:
    """In one line, before the rows are counted."""
    (tmp_path / "t.csv").write_text("x;y\n1;2\n")
    said: list[tuple[str, str]] = []
    open_table(CheckConfig(str(tmp_path / "t.csv")), lambda *words: said.append(words))
    assert said == [("read", "t.csv: separator ';'")]


def test_a_header_is_asked_for_text_alone(tmp_path: Path) -> None:
    """Other formats have names; a version that was trained without a header may be given them."""
    (tmp_path / "t.json").write_text('[{"column_1": 1, "y": 2}]')
    with pytest.raises(UsageError, match="header=none goes with delimited text"):
        open_table(CheckConfig(str(tmp_path / "t.json"), header="none"), lambda *_: None)
    asked = PromoteConfig("name", "1", data=str(tmp_path / "t.json"))
    assert open_table(asked, lambda *_: None, {"header": "none"}).read().num_rows == 1


def test_a_recorded_header_stands_and_an_encoding_for_its_own_table(tmp_path: Path) -> None:
    """Rows without a header have none next month either; next month's file may be in UTF-8."""
    for name, encoding in (("then.csv", "cp1251"), ("now.csv", "utf-8")):
        (tmp_path / name).write_bytes(f"Омск;{1.5}\nТула;2.5\n".encode(encoding))
    then, now = str(tmp_path / "then.csv"), str(tmp_path / "now.csv")
    recorded = {"data": then, "header": "none", "encoding": "cp1251"}
    watched = parse(["monitor", "--name=name", f"--data={now}", "--time_column=day"])
    assert isinstance(watched, MonitorConfig)
    for asked in (PromoteConfig("name", "1"), PromoteConfig("name", "1", data=now), watched):
        source = open_table(asked, lambda *_: None, recorded)
        assert source.read()["column_1"].to_pylist() == ["Омск", "Тула"]
    with pytest.raises(UnreadableSource, match="the first line looks like data"):
        open_table(PromoteConfig("name", "1", data=now), lambda *_: None)


def test_a_header_that_is_said_to_be_found_out_is_found_out(tmp_path: Path) -> None:
    """`header=auto` aloud was taken for nothing said, and next month's header for a row."""
    (tmp_path / "now.csv").write_text("city,price\nUlm,1.5\nBonn,2.5\n")
    asked = PromoteConfig("name", "1", data=str(tmp_path / "now.csv"), header="auto")
    source = open_table(asked, lambda *_: None, {"header": "none"})
    assert source.read().column_names == ["city", "price"]


def test_a_third_training_knows_the_header_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one recorded what it was told, which was nothing."""
    (tmp_path / "plain.csv").write_text("1.5;2\n2.5;3\n")
    config = TrainConfig(str(tmp_path / "plain.csv"), "column_2", "plain")
    monkeypatch.setattr(known_tables, "_last_params", lambda _: {"header": "none"})
    config, source = known_tables.open_again(config, lambda *_: None)
    assert source.read().column_names == ["column_1", "column_2"]
    assert config.as_params()["header"] == "none"


def test_columns_that_are_called_by_their_places_are_scored_without_a_header(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or with one of these names; who says header=first is believed."""
    schema = Schema((Column("column_1", "number"), Column("column_2", "number")), target="column_3")
    scorer = cast("Scorer", SimpleNamespace(schema=schema))
    (tmp_path / "t.csv").write_text("1.5;2\n2.5;3\n")
    asked = Namespace(input=str(tmp_path / "t.csv"), query="", header="auto", encoding="")
    assert batch._source(asked, scorer).read()["column_1"].to_pylist() == ["1.5", "2.5"]
    assert "  read      t.csv: separator ';', no header\n" in capsys.readouterr().out
    asked.header = "first"
    assert batch._source(asked, scorer).read().column_names == ["1.5", "2"]


@pytest.mark.soak
def test_a_table_without_a_header_is_trained_on_and_scored(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retrain and `score` keep what the training was told; a header of the given names is one, too."""
    path = tracking.folder / "plain.csv"
    path.write_text(ROWS)
    words = ["--data", "plain.csv", "--target", "column_3", "--trials", "1"]
    assert main(["train", *words]) == 2
    assert "pass header=none" in capsys.readouterr().err
    assert main(["train", *words, "--header", "none"]) == 0
    kept = how_read.of_version(model_registry.version("plain", "1")).kinds
    assert kept == {"column_1": "category", "column_2": "number", "column_3": "number"}
    assert main(["check", "--data", "plain.csv", "--target", "column_3", "--header", "none"]) == 0
    assert main(["promote", "--name", "plain", "--version", "1", "--dry_run", "true"]) == 0
    features = ["".join(f"{line.rpartition(';')[0]}\n" for line in ROWS.splitlines()[:5])]
    features.append("column_2;column_1\n0.5;a\n1.5;b\n2.5;c\n3.5;a\n4.5;b\n")
    for text in features:
        (tracking.folder / "in.csv").write_text(text)
        assert batch.main(["--name", "plain", "--input", "in.csv", "--output", "out.csv"]) == 0
    lines = (tracking.folder / "out.csv").read_text().splitlines()
    assert lines[0] == '"column_2","column_1","prediction"'
    assert len(lines) == 6
    assert "in.csv: separator ';'" in capsys.readouterr().out
