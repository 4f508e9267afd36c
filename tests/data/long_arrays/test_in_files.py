"""What is made of an array in a file is what is made of it in memory, and takes no memory of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data import long_arrays
from data.contracts.holding import repeated
from data.long_arrays import in_files

RANDOM = np.random.default_rng(0)
VALUES = np.where(RANDOM.random(1_000) < 0.1, np.nan, RANDOM.integers(-300, 300, 1_000) / 2.0)
VALUES[[5, 50, 500]] = -0.0, np.inf, -np.inf


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, of which the last is none."""
    monkeypatch.setattr(in_files, "ROWS_AT_ONCE", 100)


@pytest.fixture
def mapped(tmp_path: Path) -> np.ndarray:
    """The values in a file."""
    VALUES.tofile(tmp_path / "values")
    return np.memmap(tmp_path / "values", np.float64, mode="r")


def anonymous() -> int:
    """Return the bytes of this process that are not pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_some_and_ordered_values_are_those_of_numpy(mapped: np.ndarray) -> None:
    """In a file where they come from one, without its name."""
    rows = VALUES > 0.0
    for values in (VALUES, mapped, pd.Series(mapped, copy=False).to_numpy()):
        some, ordered = long_arrays.chosen(values, rows), long_arrays.sorted_finite(values)
        np.testing.assert_array_equal(some, VALUES[rows])
        np.testing.assert_array_equal(ordered, np.sort(VALUES[np.isfinite(VALUES)]))
        assert in_files._lies_in_file(some) == in_files._lies_in_file(ordered) == (values is not VALUES)
    assert long_arrays.chosen(mapped, np.ones(len(mapped), dtype=np.bool_)) is mapped
    assert not len(long_arrays.chosen(mapped, rows & ~rows))


def test_sorting_what_lies_in_a_file_leaves_it_as_it_is(tmp_path: Path) -> None:
    """Where all of its values are finite, too."""
    np.arange(300.0)[::-1].tofile(tmp_path / "values")
    values = np.memmap(tmp_path / "values", np.float64, mode="r+")
    assert long_arrays.sorted_finite(values)[0] == 0.0
    assert values[0] == 299.0


def test_a_long_array_takes_no_memory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MB of values, and as many in their order."""
    monkeypatch.undo()
    RANDOM.random(4_000_000).tofile(tmp_path / "values")
    values = np.memmap(tmp_path / "values", np.float64, mode="r")
    before = anonymous()
    ordered = long_arrays.sorted_finite(values)
    assert anonymous() - before < 16e6
    assert (ordered[1:] >= ordered[:-1]).all()


def test_a_number_that_is_there_before_is_found_in_any_block(mapped: np.ndarray) -> None:
    """As pandas finds it in all at once: -0.0 and 0.0 are one number."""
    for values in (VALUES, mapped, np.arange(1_000.0), np.zeros(1_000)):
        cells = pd.Series(values)
        np.testing.assert_array_equal(repeated(cells), cells.duplicated())
