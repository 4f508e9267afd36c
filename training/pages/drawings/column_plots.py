"""The pictures of what columns do: how much each matters, and what the strongest add by their value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from data.figures import number
from data.schema import UNSEEN, Column
from training.pages.drawings.plots import ACCENT, FAINT, INK, DrawnOnce, as_text, shortened

MOST_BARS = 20
MOST_STRIPS = 8
"""Categories that have a strip of their own, the most frequent ones."""

SPREAD = 0.3
"""How wide a strip is, where strips are 1 apart."""

Floats = NDArray[np.float64]
Against = tuple[Column, Floats, Floats]
"""A column, its value in each row, and what it adds to that row's prediction."""


def importance(
    drops: Mapping[str, tuple[float, float]], contributions: Mapping[str, float] | None, *, target: str
) -> Figure:
    """Bars of the rise in RMSE when a column is shuffled, mean and standard deviation; the 20 largest.

    Beside them what the column adds to a prediction on average, its sign aside, where that is known.
    """
    largest = sorted(drops.items(), key=lambda item: item[1][0])[-MOST_BARS:]
    names = [name for name, _ in largest]
    means, spreads = np.array([drop for _, drop in largest]).T
    figure = DrawnOnce(figsize=(6.8, 1.6 + 0.32 * len(largest)), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2 if contributions else 1, sharey=True, squeeze=False)[0]
    _bars(panels[0], means, spreads, "Permutation importance", f"rise in RMSE of {target}")
    panels[0].set_yticks(range(len(names)), [shortened(name) for name in names])
    if contributions:
        added = np.array([contributions[name] for name in names])
        _bars(panels[1], added, None, "Contribution", f"mean, its sign aside, to {target}")
    return figure


def _bars(axes: Axes, lengths: Floats, spreads: Floats | None, title: str, label: str) -> None:
    axes.barh(range(len(lengths)), lengths, xerr=spreads, color=ACCENT, ecolor=INK, capsize=2, height=0.7)
    axes.axvline(0.0, color=INK, linewidth=1)
    _plain(axes, title)
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)


def dependence(columns: Sequence[Against], *, target: str) -> Figure:
    """Draw what each column adds to predictions against its value: a point a row, a strip a category.

    Each has a scale of its own, and its mean in the title: beside the strongest the others would be flat.
    """
    down = (len(columns) + 1) // 2
    figure = DrawnOnce(figsize=(6.8, 0.5 + 2.7 * down), dpi=110, layout="constrained")
    panels = figure.subplots(down, min(2, len(columns)), squeeze=False).flat
    for axes, (column, values, shares) in zip(panels, columns, strict=False):
        if column.kind in ("category", "boolean"):
            _strips(axes, column, values, shares)
        else:
            _points(axes, column, values, shares)
        axes.axhline(0.0, color=INK, linewidth=1)
        _plain(axes, f"{shortened(column.name)}, {number(float(np.abs(shares).mean()), 2)} on average")
        axes.set_xlabel(as_text(column.unit or ""), fontsize=8)
    for axes in list(figure.axes)[len(columns) :]:
        axes.set_axis_off()
    figure.supylabel(f"contribution to {target}", fontsize=10, color=INK)
    return figure


def _points(axes: Axes, column: Column, values: Floats, shares: Floats) -> None:
    """Draw numbers and dates; rows without one stand as a strip at the left, where there are any."""
    known = np.isfinite(values)
    places = values[known]
    if column.kind == "datetime":
        places = places / 86_400.0  # matplotlib counts days since 1970
        axes.xaxis_date()
    axes.scatter(places, shares[known], s=8, alpha=0.4, color=ACCENT, linewidths=0)
    axes.tick_params(axis="x", labelsize=8, labelrotation=20 if column.kind == "datetime" else 0)
    if not known.all():
        low, high = (places.min(), places.max()) if len(places) else (0.0, 1.0)
        away = low - 0.12 * ((high - low) or 1.0)
        axes.scatter(np.full((~known).sum(), away), shares[~known], s=8, alpha=0.4, color=INK, linewidths=0)
        axes.annotate(
            "missing", (away, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=8, color=INK
        )


def _strips(axes: Axes, column: Column, values: Floats, shares: Floats) -> None:
    """Draw a strip for each of the most frequent categories, and one for the others."""
    codes, counts = np.unique(values, return_counts=True)
    own = codes[np.argsort(-counts, kind="stable")[:MOST_STRIPS]]
    own = own[np.argsort([np.nanmean(shares[_same(values, code)]) for code in own])]
    labels, random = [_label(column, code) for code in own], np.random.default_rng(0)
    rows = [shares[_same(values, code)] for code in own]
    if rest := [shares[_same(values, code)] for code in codes if not _same(own, code).any()]:
        rows, labels = [*rows, np.concatenate(rest)], [*labels, f"{len(rest)} others"]
    for index, strip in enumerate(rows):
        jitter = index + random.uniform(-SPREAD, SPREAD, len(strip))
        axes.scatter(jitter, strip, s=8, alpha=0.4, color=ACCENT, linewidths=0)
        axes.plot([index - SPREAD, index + SPREAD], [strip.mean()] * 2, color=INK, linewidth=1.5)
    axes.set_xticks(range(len(labels)), labels, fontsize=8, rotation=45 if len(labels) > 3 else 0)
    axes.set_xlim(-0.6, len(labels) - 0.4)
    axes.grid(axis="x", visible=False)


def _same(values: Floats, code: float) -> NDArray[np.bool_]:
    return np.isnan(values) if np.isnan(code) else values == code


def _label(column: Column, code: float) -> str:
    if np.isnan(code):
        return "missing"
    if column.kind == "boolean":
        return "true" if code else "false"
    if code == UNSEEN:
        return "never seen"
    name = column.categories[int(code)]
    return as_text(name if len(name) <= 14 else f"{name[:11]}...")


def _plain(axes: Axes, title: str) -> None:
    """Give axes the house's look."""
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
