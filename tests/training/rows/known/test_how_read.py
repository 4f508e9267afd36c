"""A table is read again as a version's training read it: every column, whatever is said or left out this time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from data.cells import NO_OPTIONS, Reading, ReadOptions
from data.contracts import Contract, Promise
from data.errors import OtherKind
from data.schema import Schema
from data.sources import Source, open_source
from data.splits import splitting
from data.tables import Table, describe, fingerprint, load_kept
from data.tables.streams import Form
from training.commands.trainings import TrainConfig
from training.records import model_registry, tag_names, tracking
from training.records.errors import WrongFiles
from training.rows.known import how_read, known_parts, load_known, load_split
from training.versions import flavor

ROWS = 399
CONFIG = TrainConfig("shops.csv", target="y", name="shops", exclude=("amount", "when", "code", "gap"))
SAID = ReadOptions(read=(("when", "date-dmy"), ("code", "text")), missing=("-200",))
"""What the first training is told, and nobody says again."""


def source(folder: Path) -> Source:
    """Shops by semicolons, with decimal commas; of `amount`, `when`, `code` and `gap` the model reads nothing."""
    rows = [
        f"{row}.{row * 37 % 900 + 100};{row % 12 + 1:02}/{row // 12 % 12 + 1:02}/2024;{row % 50};"
        f"{-200 if row % 3 == 0 else row};{row},25;{row * 2},5"
        for row in range(1, ROWS + 1)
    ]
    (folder / "shops.csv").write_text("\n".join(["amount;when;code;gap;x;y", *rows]))
    return open_source(str(folder / "shops.csv"))


@dataclass(frozen=True)
class Trained(model_registry.Version):
    """A version of shops whose files are here."""

    place: Path = Path()
    described: Schema | None = None

    @cached_property
    def folder(self) -> Path:
        """Its files."""
        return self.place

    @cached_property
    def schema(self) -> Schema:
        """One feature."""
        assert self.described is not None
        return self.described


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Trained, Table]:
    """The first version, and the table that it was trained from."""
    monkeypatch.setattr(tracking, "recorded_contract", lambda *_, **__: None)
    monkeypatch.setattr(model_registry, "versions", lambda _: [])
    _, table, rule = load_split(CONFIG, source(tmp_path), SAID)
    assert isinstance(table, Table)
    (tmp_path / flavor.READ).parent.mkdir()
    (tmp_path / flavor.READ).write_text(json.dumps(how_read.of_table(table).as_dict()))
    tags = {tag_names.SPLIT: json.dumps(rule.as_dict()), tag_names.FILES: "0"}
    version = Trained("shops", "1", "run", tags, place=tmp_path, described=describe(table, ["x"], target="y"))
    monkeypatch.setattr(model_registry, "versions", lambda _: [version])
    return version, table


def held_out(version: Trained, table: Table) -> list[bool]:
    """Which rows are held out."""
    return list(splitting.sides_of(table, version.split).mask("holdout"))


@pytest.mark.parametrize("memory", [None, 5e4], ids=["held", "in parts"])
@pytest.mark.parametrize("said", [NO_OPTIONS, SAID, ReadOptions(decimal=",")], ids=["nothing", "all", "mark"])
def test_a_training_after_the_first_holds_out_the_same_rows(
    first: tuple[Trained, Table], tmp_path: Path, said: ReadOptions, memory: float | None
) -> None:
    """The same command twice shared 6 of 44 held-out rows, where a column that is no feature was read anew."""
    version, table = first
    _, read, rule = load_split(replace(CONFIG, memory=memory), source(tmp_path), said)
    assert isinstance(read, Form) is (memory is not None)
    again = read.whole(table.names) if isinstance(read, Form) else read
    assert rule == version.split
    assert sum(held_out(version, table)) > 30
    assert held_out(version, again) == held_out(version, table)
    assert fingerprint(again) == fingerprint(table)


@pytest.mark.parametrize("recorded", [{}, {"missing": "-200", "decimal": ","}], ids=["nothing", "some"])
def test_who_reads_a_versions_rows_again_has_the_rows_of_then(
    first: tuple[Trained, Table], tmp_path: Path, recorded: Mapping[str, str]
) -> None:
    """What judges and rebuilds it, in memory and in parts; the fingerprint says that the table is the same."""
    version, table = first
    kinds, asked = version.split.kinds, how_read.again(version, recorded)
    assert fingerprint(load_kept(source(tmp_path), kinds, asked)) == fingerprint(table)
    known = load_known(source(tmp_path), version.schema, kinds, asked)
    assert fingerprint(known) == fingerprint(table)
    form = known_parts.form_for(source(tmp_path), version.schema, kinds, asked, 1e6)
    assert fingerprint(form.whole(table.names)) == fingerprint(table)


def test_words_outside_the_split_stay_words_in_the_same_table_only(tmp_path: Path) -> None:
    """A contract's promise, or `read=`, made amounts text, which the fingerprint tells; later rows may be numbers."""
    (tmp_path / "t.csv").write_text("a,y\n" + "\n".join(f"${row},{row}" for row in range(9)))
    opened = open_source(str(tmp_path / "t.csv"))
    table = load_kept(opened, {}, ReadOptions().with_known({"a": Reading("text")}))
    kept = how_read.HowRead.from_dict(json.loads(json.dumps(how_read.of_table(table).as_dict())))
    again = load_kept(opened, {}, ReadOptions().with_known(kept.of_the_same_table))
    assert fingerprint(again) == fingerprint(table)
    assert load_kept(opened, {}, ReadOptions().with_known(kept.of_later_tables)).kinds["a"] == "number"


def test_a_version_from_before_has_its_schema_and_its_contract(
    first: tuple[Trained, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a contract says of a date is not repeated by the commands that read the table again."""
    version, table = first
    (tmp_path / flavor.READ).unlink()
    asked = how_read.again(version, {"missing": "-200"})
    with pytest.raises(OtherKind, match="'when'"):
        load_kept(source(tmp_path), version.split.kinds, asked)
    promised = {"when": Promise("datetime", reading=table.readings["when"]), "code": Promise("category")}
    promised["amount"] = Promise("number", reading=table.readings["amount"])
    monkeypatch.setattr(tracking, "recorded_contract", lambda *_, **__: (Contract("c", promised), ""))
    asked = how_read.again(version, {"missing": "-200"})
    assert fingerprint(load_kept(source(tmp_path), version.split.kinds, asked)) == fingerprint(table)


def test_readings_of_a_later_release_are_refused(first: tuple[Trained, Table]) -> None:
    """To read on without them would hold out other rows without a word."""
    version, _ = first
    path = version.folder / flavor.READ
    path.write_text(path.read_text().replace('"thousands"', '"lakhs"'))
    with pytest.raises(WrongFiles, match=r"monitor/readings\.json cannot be read: a reading has no 'lakhs'"):
        how_read.of_version(version)


def test_new_intervals_leave_what_the_training_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their run trained nothing: `header=none` was forgotten; where the training's run is gone its own has to do."""
    runs = {"trained": {"header": "none"}, "own": {"header": "auto"}}
    asked: list[str] = []

    def recorded(*run_ids: str) -> dict[str, str]:
        asked.extend(run_ids)
        return next(runs[run_id] for run_id in run_ids if run_id in runs)

    monkeypatch.setattr(tracking, "recorded_params", recorded)
    version = model_registry.Version("shops", "2", "own", {tag_names.TRAINED_IN: "trained"})
    assert how_read.recorded_of(version) == {"header": "none"}
    del runs["trained"]
    assert how_read.recorded_of(version) == {"header": "auto"}


def test_a_version_keeps_how_its_table_was_read_among_files_that_may_be_loaded() -> None:
    """A file beyond those is refused when a version is loaded."""
    from training.versions.loadable import COMMON_FILES

    assert flavor.READ in COMMON_FILES
    assert np.all([name in COMMON_FILES for name in (flavor.LEARNED, flavor.REFERENCE)])
