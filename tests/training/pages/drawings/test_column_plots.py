"""The pictures of columns: every kind of column, whatever it and its values are called."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from data.schema import UNSEEN, Column, Schema
from training.pages import rendering, report
from training.pages.drawings import canvas, column_plots

SCHEMA = Schema((Column("area", "number"),), target="$\\frac{$", target_unit="$_$")
SHARES = np.linspace(-3.0, 3.0, 60)


@pytest.fixture
def drawn() -> object:
    """Draw a figure as the card does."""

    def draw(figure) -> bytes:
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=20)
        return written.getvalue()

    return draw


def test_each_kind_of_column_is_drawn_with_its_gaps(drawn) -> None:
    """A strip a category, the rare ones together; what is missing or was never seen has a strip, too."""
    towns = tuple(f"town {place}" for place in range(20))
    codes = np.array([*range(20), *[0.0] * 20, *[3.0] * 16, UNSEEN, UNSEEN, np.nan, np.nan])
    gaps = np.where(np.arange(60) % 7 == 0, np.nan, np.arange(60.0))
    columns = [
        (Column("town", "category", categories=towns), codes, SHARES),
        (Column("garden", "boolean"), np.where(np.isnan(gaps), np.nan, gaps % 2), SHARES),
        (Column("area", "number", unit="m$^2$"), gaps, SHARES),
        (Column("sold", "datetime"), gaps * 86_400.0 * 400.0, SHARES),
    ]
    figure = column_plots.dependence(columns, target="price")
    drawn(figure)
    town, garden, area, sold = figure.axes
    assert [text.get_text() for text in town.get_xticklabels()][-1] == "14 others"
    assert {text.get_text() for text in garden.get_xticklabels()} == {"missing", "true", "false"}
    assert [text.get_text() for text in area.texts] == ["missing"]
    assert all(text.get_text() for text in sold.get_xticklabels())
    assert town.get_title(loc="left") == "town, 1.5 on average"


@pytest.mark.parametrize("columns", [1, 3])
def test_fewer_than_four_columns_leave_no_empty_axes(drawn, columns: int) -> None:
    """A line has one column; the place of the fourth stays white."""
    each = (Column("area", "number"), np.full(60, np.nan), SHARES)
    figure = column_plots.dependence([each] * columns, target="price")
    drawn(figure)
    assert sum(axes.axison for axes in figure.axes) == columns


def test_names_are_drawn_as_they_are(drawn) -> None:
    """Matplotlib reads what stands between two dollars as a formula, and ends a training over a broken one."""
    names = ("$a$", "$\\frac{", "<b>", "x" * 200, "", "a\nb")
    bars = column_plots.importance(dict.fromkeys(names, (1.0, 0.1)), None, target="y")
    codes = np.tile([0.0, 1.0], 30)
    each = [(Column(name, "category", categories=(name, "$_$")), codes, SHARES) for name in names[:4]]
    for figure in (bars, column_plots.dependence(each, target=report.target_with_unit(SCHEMA))):
        assert drawn(figure).startswith(b"\x89PNG")


def test_what_is_shuffled_stands_beside_what_is_added() -> None:
    """In one order, that of the errors; without reasons the one panel is left."""
    drops = {f"x{place}": (float(place), 0.1) for place in range(30)}
    both = column_plots.importance(drops, dict.fromkeys(drops, 1.0), target="y")
    assert [len(axes.patches) for axes in both.axes] == [20, 20]
    assert both.axes[0].get_yticklabels()[-1].get_text() == "x29"
    assert len(column_plots.importance(drops, None, target="y").axes) == 1


def test_a_figure_is_drawn_once_for_its_file_and_the_card(tmp_path, monkeypatch) -> None:
    """Drawing all of a run's plots once more took 1.5 s of each training; any other form is drawn as asked."""
    drawn = []
    paint = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda *which, **how: drawn.append(how) or paint(*which, **how))
    figure, axes = canvas("a plot", height=1.0)
    axes.plot([0, 1], [0, 1])
    figure.savefig(str(tmp_path / "plot.png"))
    (picture,) = rendering.pictures({"plot": figure}, ["plot"])
    assert base64.b64decode(picture.base64) == (tmp_path / "plot.png").read_bytes()
    assert len(drawn) == 1
    figure.savefig(tmp_path / "plot.svg")
    figure.savefig(tmp_path / "small.png", dpi=20)
    assert len(drawn) == 3
    assert b"<svg" in (tmp_path / "plot.svg").read_bytes()
    assert (tmp_path / "small.png").stat().st_size < (tmp_path / "plot.png").stat().st_size
