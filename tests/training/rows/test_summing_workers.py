"""All rows of a table learned by the workers of a Dask cluster: the line that one machine makes, to the last bit."""

from __future__ import annotations

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
from data.errors import UnreadableSource
from data.sources import open_source, source
from data.tables.streams import form_of
from data.workers import Address, reaching, tasks
from data.workers.errors import EngineSilent
from tests.dask_cluster import two_workers
from tests.training.models.deadly_rows import DeadlyRows
from tests.training.rows.test_streamed import CONFIG, arranged, few, frame, write
from training.models import all_rows, build, fit, on_workers
from training.rows import PreparedTable

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


def line(rows: PreparedTable) -> list[bytes]:
    """Return a line that learned the sample and then all rows."""
    target = rows.target("train")
    model = fit(build({"family": "ridge"}, rows.schema, seed=0), rows.frame("train"), target)
    assert rows.everything is not None
    assert all_rows.learn_all(model, rows.everything, target)
    return [model[-1].coef_.tobytes(), np.float64(model[-1].intercept_).tobytes()]


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_the_line_has_the_bits_of_one_machine_though_a_worker_is_killed(
    frame: pd.DataFrame, address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the pass, by kill -9: its rows are summed anew, and none twice."""
    where = write(frame, tmp_path / "t.csv")
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "kill").touch()
    monkeypatch.setattr(on_workers, "OURS", (*on_workers.OURS, "tests"))
    monkeypatch.setattr(on_workers, "LearnedRows", partial(DeadlyRows, folder=str(tmp_path / "orders")))
    rows, said = arranged(where, replace(CONFIG, engine=address.word), memory=1e9)
    write(frame, tmp_path / "t.parquet")
    assert line(rows) == line(arranged(str(tmp_path / "t.parquet"), memory=1e9)[0])
    assert list((tmp_path / "orders").iterdir()) == []
    assert "here instead" not in "".join(said)  # they did it, not this machine


@contextmanager
def nobody_else(*_: Any, **__: Any) -> Iterator[Any]:
    """Work that is done here, in place of a cluster's."""
    yield SimpleNamespace(
        together=lambda items: [list(items[::2]), list(items[1::2])],
        each=lambda function, shared, tasks, what: ((task, function(shared, task)) for task in tasks),
    )


def test_rows_that_were_not_there_at_the_first_reading_end_the_training(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line of other rows than those that were counted, split and described would be nobody's."""
    where = write(frame, tmp_path / "t.csv")
    monkeypatch.setattr(on_workers, "reached", nobody_else)
    rows, _ = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    assert line(rows) == line(arranged(where, memory=1e9)[0])
    with Path(where).open("a") as file:
        file.writelines(f"{row / 7},2,Ulm,2024-01-01,new{row},,1.0,5.0\n" for row in range(40))
    assert rows.everything is not None
    form = form_of(open_source(where), {}, NO_OPTIONS)
    learned = on_workers.LearnedRows(form, rows.split.rule, rows.schema, on_workers.parts_of(form))
    summed = on_workers.by_workers(Address.of(NOBODY), learned, rows.everything.count)
    with pytest.raises(UnreadableSource, match="at the first reading, and has"):
        line(replace(rows, everything=replace(rows.everything, elsewhere=summed)))


def test_workers_that_are_lost_after_the_search_are_done_without(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search found is not thrown away: all rows are read here, and it is said."""
    monkeypatch.setattr(reaching, "SECONDS", 1)
    where = write(frame, tmp_path / "t.csv")
    with pytest.raises(EngineSilent, match=r"^dask://127\.0\.0\.1:1 does not answer"):
        arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    monkeypatch.setattr(on_workers, "look", lambda _: None)
    rows, said = arranged(where, replace(CONFIG, engine=NOBODY), memory=1e9)
    assert line(rows) == line(arranged(where, memory=1e9)[0])
    assert "all rows are read here instead" in said[-1]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "engine: memory holds the table"),
        ({"weight": "w"}, "engine: no more rows are learned than the sample"),
    ],
)
def test_a_table_for_which_workers_have_nothing_to_do_says_so(
    frame: pd.DataFrame, changes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks at an idle cluster would look for the reason there."""
    monkeypatch.setattr(on_workers, "look", lambda _: None)
    where = write(frame, tmp_path / "t.csv")
    _, said = arranged(where, replace(CONFIG, engine=NOBODY, **changes), memory=1e9 if changes else None)
    assert [words for words in said if words.startswith(says)]
