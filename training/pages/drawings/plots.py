"""The pictures of a run, each labelled with the target's name and unit.

Draws what it is given and measures nothing. Figures are made without pyplot's global state, so
that a test or a server may draw too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.measuring import coverage

INK, ACCENT, FAINT = "#1f2d3d", "#1769aa", "#b8c4d0"
MOST_POINTS = 5_000
"""More points hide one another, and make a PNG of megabytes."""


class DrawnOnce(Figure):
    """A figure whose PNG is drawn once: the run keeps it as a file, the card within itself."""

    _png: bytes = b""

    def savefig(self, fname: Any, **how: Any) -> None:
        """Write it to a path, or to an open file."""
        is_file = not how and str(fname).endswith(".png")
        if not is_file and how != {"format": "png"}:
            super().savefig(fname, **how)
            return
        if not self._png:
            drawn = io.BytesIO()
            super().savefig(drawn, format="png")
            self._png = drawn.getvalue()
        if is_file:
            Path(fname).write_bytes(self._png)
        else:
            fname.write(self._png)


def predicted_against_actual(
    actual: NDArray[np.float64], predicted: NDArray[np.float64], *, target: str
) -> Figure:
    """Points on the diagonal are right; `target` is its name with its unit."""
    figure, axes = canvas("Holdout: predicted against actual")
    shown = _thinned(len(actual))
    axes.scatter(actual[shown], predicted[shown], s=8, alpha=0.35, color=ACCENT, linewidths=0)
    ends = [min(actual.min(), predicted.min()), max(actual.max(), predicted.max())]
    axes.plot(ends, ends, color=INK, linewidth=1, label="predicted = actual")
    axes.set_xlabel(f"actual {target}")
    axes.set_ylabel(f"predicted {target}")
    axes.legend(frameon=False, loc="upper left")
    return figure


def residuals_by_predicted(
    actual: NDArray[np.float64], predicted: NDArray[np.float64], *, target: str
) -> Figure:
    """A slope or a funnel here is something that the model missed."""
    figure, axes = canvas("Holdout: residuals by predicted value")
    shown = _thinned(len(actual))
    axes.scatter(predicted[shown], (actual - predicted)[shown], s=8, alpha=0.35, color=ACCENT, linewidths=0)
    axes.axhline(0.0, color=INK, linewidth=1)
    axes.set_xlabel(f"predicted {target}")
    axes.set_ylabel(f"actual - predicted {target}")
    return figure


def residual_histogram(actual: NDArray[np.float64], predicted: NDArray[np.float64], *, target: str) -> Figure:
    """Show the middle 99 % and say how many rows lie beyond it."""
    residuals = actual - predicted
    low, high = np.quantile(residuals, [0.005, 0.995])
    inside = residuals[(residuals >= low) & (residuals <= high)]
    figure, axes = canvas("Holdout: distribution of residuals")
    axes.hist(inside, bins=min(60, max(10, len(inside) // 20)), color=ACCENT)
    axes.axvline(0.0, color=INK, linewidth=1)
    axes.set_xlabel(f"actual - predicted {target}")
    axes.set_ylabel("rows")
    if len(inside) < len(residuals):
        axes.annotate(
            f"{len(residuals) - len(inside)} rows beyond",
            xy=(0.98, 0.95),
            xycoords="axes fraction",
            ha="right",
            color=INK,
        )
    return figure


def interval_coverage(found: Sequence[coverage.Reached]) -> Figure:
    """Plot the coverage reached against the one promised, with what chance alone does."""
    figure, axes = canvas("Holdout: coverage of the intervals")
    nominal = [each.nominal for each in found]
    axes.plot([0.45, 1.0], [0.45, 1.0], color=FAINT, linewidth=1, label="as promised")
    spread = [[each.nominal - each.low for each in found], [each.high - each.nominal for each in found]]
    axes.errorbar(nominal, nominal, yerr=spread, fmt="none", ecolor=INK, capsize=4, label="99 % of chance")
    axes.plot(nominal, [each.share for each in found], "o", color=ACCENT, label="reached on the holdout")
    axes.set_xlabel("coverage asked for")
    axes.set_ylabel("share of targets inside")
    axes.legend(frameon=False)
    return figure


def learning_curve(sizes: Sequence[int], rmse: Sequence[float], *, target: str) -> Figure:
    """Out-of-fold RMSE by rows learned from, which double from point to point."""
    figure, axes = canvas("Learning curve: out-of-fold RMSE by rows learned from", height=3.6)
    axes.plot(sizes, rmse, "o-", color=ACCENT)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xlabel("rows learned from")
    axes.set_ylabel(f"RMSE of {target}")
    axes.margins(x=0.06, y=0.15)
    return figure


def slices(parts: Sequence[tuple[str, float, float, float]], *, target: str) -> Figure:
    """RMSE of (name, value, low, high), the first at the top and marked as the whole."""
    figure, axes = canvas("Holdout: RMSE by slice", height=1.4 + 0.28 * len(parts))
    for index, (_, value, low, high) in enumerate(reversed(parts), start=1 - len(parts)):
        color = ACCENT if index else INK
        axes.plot([low, high], [index, index], color=color, linewidth=2)
        axes.plot(value, index, "o", color=color, markersize=5)
    axes.axvline(parts[0][1], color=INK, linewidth=1)
    axes.set_yticks(range(1 - len(parts), 1), [shortened(name) for name, *_ in reversed(parts)], fontsize=9)
    axes.set_xlabel(f"RMSE of {target}, with 95 % interval")
    axes.grid(axis="y", visible=False)
    return figure


def shortened(name: str) -> str:
    """Cut a name to what fits beside a plot."""
    return as_text(name if len(name) <= 34 else f"{name[:31]}...")


def as_text(name: str) -> str:
    """Let matplotlib show a name with dollars as it is: it would read what stands between two as a formula."""
    return name.replace("$", r"\$")


def canvas(title: str, *, height: float = 4.6) -> tuple[Figure, Axes]:
    """Return an empty figure in the house's colours."""
    figure = DrawnOnce(figsize=(6.8, height), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK, fontsize=12)
    axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _thinned(count: int) -> NDArray[np.intp]:
    """Return evenly spread positions, at most `MOST_POINTS`."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).astype(np.intp))
