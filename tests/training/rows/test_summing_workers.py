"""All rows of a table read and learned by the workers of a Dask cluster: what one machine makes, to the last bit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.cells import NO_OPTIONS
from data.errors import UnreadableSource, UnusableColumn
from data.sources import open_source, source
from data.tables.streams import form_of
from data.workers import Address, reaching, tasks
from data.workers.errors import EngineSilent
from tests.dask_cluster import two_workers
from tests.training.models.deadly_rows import DeadlyParts, DeadlyRows
from tests.training.rows.test_streamed import CONFIG, OF_EACH_SPLIT, arranged, assert_alike, few, frame, write
from training.commands import trainings
from training.models import all_rows, build, fit
from training.rows import PreparedTable
from training.rows.again import on_workers
from training.rows.first import on_workers as first_on_workers
from training.rows.first import runs

__all__ = ["few", "frame"]  # fixtures

NOBODY = "dask://127.0.0.1:1"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """Two workers."""
    with two_workers(tmp_path_factory.mktemp("dask")) as found:
        yield found


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PART_BYTES", 3_000)
    monkeypatch.setattr(tasks, "A_THREAD", 1)


def learned(rows: PreparedTable, family: str) -> Any:
    """Return a model that learned the sample and then all rows."""
    target = rows.target("train")
    model = fit(build({"family": family}, rows.schema, seed=0), rows.frame("train"), target)
    assert rows.everything is not None
    assert rows.held_out is not None
    assert all_rows.learn_all(model, rows.held_out.beside(rows.everything), target)
    return model


def line(rows: PreparedTable) -> list[bytes]:
    """Return a line that learned all rows."""
    model = learned(rows, "ridge")
    return [model[-1].coef_.tobytes(), np.float64(model[-1].intercept_).tobytes()]


def held_out(rows: PreparedTable) -> list[bytes]:
    """Return all held-out rows."""
    assert rows.held_out is not None
    return [part.tobytes() for block in rows.held_out.blocks() for part in block if part is not None]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_line_has_the_bits_of_one_machine_though_a_worker_is_killed(
    frame: pd.DataFrame, address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of each pass, by kill -9: its rows are read anew, and none twice."""
    where = write(frame, tmp_path / "t.csv")
    for name in ("first", "sums"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kill").touch()
    monkeypatch.setattr(on_workers, "OURS", (*on_workers.OURS, "tests"))
    monkeypatch.setattr(runs, "PartedRows", partial(DeadlyParts, folder=str(tmp_path / "first")))
    monkeypatch.setattr(on_workers, "PartedAgain", partial(DeadlyRows, folder=str(tmp_path / "sums")))
    rows, said = arranged(where, replace(CONFIG, engine=address.word), memory=1e9)
    assert list((tmp_path / "first").iterdir()) == []
    alone, _ = arranged(where, memory=1e9)
    assert_alike(alone, rows)
    assert line(rows) == line(alone)
    assert list((tmp_path / "sums").iterdir()) == []
    assert "here instead" not in "".join(said)  # they did it, not this machine


def cut(items: Any, most: int) -> list[Any]:
    """Return the parts of each task."""
    return [list(items[start : start + 3]) for start in range(0, len(items), 3)]


@contextmanager
def nobody_else(*_: Any, **__: Any) -> Iterator[Any]:
    """Work that is done here, in place of a cluster's: sent as there, the last parts first."""

    def each(function: Any, shared: Any, tasks: Any, what: str) -> Iterator[Any]:
        for task in (*tasks[:0:-1], tasks[0]):
            yield task, pickle.loads(pickle.dumps(function(pickle.loads(pickle.dumps(shared)), task)))

    yield SimpleNamespace(together=cut, each=each)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster whose tasks are done in this process."""
    for module in (on_workers, first_on_workers):
        monkeypatch.setattr(module, "reached", nobody_else)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("ending", ["csv", "parquet"])
@OF_EACH_SPLIT
def test_rows_that_workers_read_first_are_those_of_one_machine(
    frame: pd.DataFrame, tmp_path: Path, ending: str, config: trainings.TrainConfig
) -> None:
    """Their order, too, which is that of the table for all that comes after; and so is what is said of them."""
    where = write(frame.assign(shop=frame["shop"].fillna("Ulm")), tmp_path / f"t.{ending}")
    alone, words = arranged(where, config, memory=1e9)
    rows, said = arranged(where, replace(config, engine=NOBODY), memory=1e9)
    assert_alike(alone, rows)
    assert [line for line in said if line not in words] == [line for line in said if NOBODY in line]
    assert held_out(alone) == held_out(rows)


@pytest.mark.usefixtures("here")
def test_a_reading_by_workers_takes_what_the_clock_says(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told how long the next one takes waits by the clock, not for the sum of all workers' seconds."""
    read = runs.read

    def slow(*asked: Any) -> Any:
        part = read(*asked)
        part.seconds = 1e6
        return part

    monkeypatch.setattr(runs, "read", slow)
    rows, said = arranged(write(frame, tmp_path / "t.csv"), replace(CONFIG, engine=NOBODY), memory=1e9)
    assert "here instead" not in "".join(said)
    assert rows.everything
    assert 0.0 < rows.everything.reading_seconds < 1e3


@pytest.mark.usefixtures("here")
def test_trees_and_held_out_rows_are_those_of_one_machine(frame: pd.DataFrame, tmp_path: Path) -> None:
    """Workers make the columns, this machine the trees; and the table is not read once more for the rows held out."""
    where = write(frame, tmp_path / "t.parquet")
    rows, said = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    alone, _ = arranged(where, memory=1e9)
    assert learned(rows, "lightgbm")[-1].text_ == learned(alone, "lightgbm")[-1].text_
    assert "here instead" not in "".join(said)
    for each in (alone, rows):
        assert each.held_out is not None
        assert each.held_out.reading_seconds == 0.0
    assert held_out(alone) == held_out(rows)


@pytest.mark.usefixtures("here")
def test_numbers_too_large_for_sums_leave_the_held_out_rows_whole(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers are not asked on then; those rows are read by themselves, not a part of them taken for all."""
    where = write(frame, tmp_path / "t.parquet")
    rows, _ = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    monkeypatch.setattr(all_rows.learning, "LARGEST", 1e-3)
    assert rows.everything is not None
    model = fit(build({"family": "ridge"}, rows.schema, seed=0), rows.frame("train"), rows.target("train"))
    assert not all_rows.learn_all(model, rows.everything, rows.target("train"))
    assert held_out(rows) == held_out(arranged(where, memory=1e9)[0])


def test_this_machine_goes_on_where_a_cluster_is_lost(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that have come are not learned twice, nor held out twice."""

    @contextmanager
    def lost(*_: Any, **__: Any) -> Iterator[Any]:
        def each(function: Any, shared: Any, tasks: Any, what: str) -> Iterator[Any]:
            for task in tasks[:2]:
                yield task, function(shared, task)
            raise EngineSilent(where=NOBODY, reason="was lost")

        yield SimpleNamespace(together=cut, each=each)

    where = write(frame, tmp_path / "t.parquet")
    monkeypatch.setattr(on_workers, "look", lambda _: None)
    for module in (on_workers, first_on_workers):
        monkeypatch.setattr(module, "reached", lost)
    rows, said = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    alone, _ = arranged(where, memory=1e9)
    assert_alike(alone, rows)
    assert learned(rows, "lightgbm")[-1].text_ == learned(alone, "lightgbm")[-1].text_
    assert ["here instead" in words for words in (said[0], said[-1])] == [True, True]
    assert held_out(alone) == held_out(rows)


@pytest.mark.usefixtures("here")
def test_a_fault_that_a_worker_meets_is_told_with_the_row_of_the_table(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A worker knows the rows of its part alone: its number would lead to another row."""
    frame.loc[1_000, "day"] = None
    where = write(frame, tmp_path / "t.parquet")
    with pytest.raises(UnusableColumn, match="'day', row 994: is missing"):
        arranged(where, replace(CONFIG, time_column="day", engine=NOBODY), memory=1e9)


@pytest.mark.usefixtures("here")
def test_rows_that_were_not_there_at_the_first_reading_end_the_training(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    """A line of other rows than those that were counted, split and described would be nobody's."""
    where = write(frame, tmp_path / "t.csv")
    rows, _ = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    assert line(rows) == line(arranged(where, memory=1e9)[0])
    with Path(where).open("a") as file:
        file.writelines(f"{row / 7},2,Ulm,2024-01-01,new{row},,1.0,5.0\n" for row in range(40))
    assert rows.everything is not None
    form = form_of(open_source(where), {}, NO_OPTIONS)
    by_workers: Any = rows.everything.elsewhere
    changed = replace(by_workers.rows, parts=on_workers.parts_of(form))
    rows = replace(rows, everything=replace(rows.everything, elsewhere=replace(by_workers, rows=changed)))
    with pytest.raises(UnreadableSource, match="has other rows, or another order of them"):
        line(rows)


@pytest.mark.soak
def test_workers_that_are_lost_after_the_search_are_done_without(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search found is not thrown away: all rows are read here, and it is said; so it is before the search."""
    monkeypatch.setattr(reaching, "SECONDS", 1)
    where = write(frame, tmp_path / "t.csv")
    with pytest.raises(EngineSilent, match=r"^dask://127\.0\.0\.1:1 does not answer"):
        arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    monkeypatch.setattr(on_workers, "look", lambda _: None)
    rows, said = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    assert line(rows) == line(arranged(where, memory=1e9)[0])
    assert "all rows are read here instead" in said[0]
    assert "all rows are read here instead" in said[-1]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "engine: memory holds the table"),
        ({"weight": "w"}, "engine: no more rows are learned than the sample"),
    ],
)
def test_a_table_for_which_workers_have_nothing_to_do_says_so(
    frame: pd.DataFrame, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """Who looks at an idle cluster would look for the reason there."""
    where = write(frame, tmp_path / "t.csv")
    _, said = arranged(where, replace(CONFIG, engine=NOBODY, **changes), memory=1e9 if changes else None)
    assert [words for words in said if words.startswith(says)]
