"""The evidence of a decision as files of its run: `gate/evidence.json` for programs, `gate/card.html` for people.

The card is one page with nothing to load from elsewhere, so that MLflow's artifact viewer shows it whole.
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.gate import Decision
from training.pages import rendering
from training.pages.drawings import ACCENT, INK, canvas, shortened

MOST_SLICES_DRAWN = 18


def card(title: str, decision: Decision, figures: dict[str, Figure]) -> str:
    """Return the page."""
    return rendering.page(
        "evidence.html",
        title=f"{title}: {decision.word}",
        decision=decision,
        pictures=rendering.pictures(figures, figures),
    )


def figures(
    decision: Decision,
    actual: NDArray[np.float64],
    challenger: NDArray[np.float64],
    champion: NDArray[np.float64],
    unit: str,
) -> dict[str, Figure]:
    """Draw the change by slice, and the errors row by row."""
    return {"change by slice": _changes(decision), "errors": _errors(actual, challenger, champion, unit)}


def _changes(decision: Decision) -> Figure:
    assert decision.change is not None
    largest = sorted(decision.slices, key=lambda part: -abs(part.change.change))[:MOST_SLICES_DRAWN]
    shown = [(part.name, part.change) for part in sorted(largest, key=lambda part: -part.change.change)]
    shown.append(("all rows", decision.change))
    figure, axes = canvas("Change in RMSE against the champion", height=1.4 + 0.28 * len(shown))
    for index, (name, change) in enumerate(shown):
        color = INK if name == "all rows" else ACCENT
        axes.plot([100 * change.low, 100 * change.high], [index, index], color=color, linewidth=2)
        axes.plot(100 * change.change, index, "o", color=color, markersize=5)
    axes.axvline(0.0, color=INK, linewidth=1)
    axes.set_yticks(range(len(shown)), [shortened(name) for name, _ in shown], fontsize=9)
    axes.set_xlabel("% of the champion's RMSE, with 95 % interval; left of zero is better")
    axes.grid(axis="y", visible=False)
    return figure


def _errors(
    actual: NDArray[np.float64], challenger: NDArray[np.float64], champion: NDArray[np.float64], unit: str
) -> Figure:
    """Show the middle 98 % of the differences: a few large errors would hide the rest."""
    difference = np.abs(challenger - actual) - np.abs(champion - actual)
    low, high = np.quantile(difference, [0.01, 0.99])
    inside = difference[(difference >= low) & (difference <= high)]
    figure, axes = canvas("Absolute error, challenger minus champion, row by row")
    axes.hist(inside, bins=min(80, max(10, len(inside) // 25)), color=ACCENT)
    axes.axvline(0.0, color=INK, linewidth=1)
    axes.set_xlabel(f"difference{f' in {unit}' if unit else ''}; left of zero the challenger is nearer")
    axes.set_ylabel("rows")
    axes.margins(y=0.15)
    nearer = float(np.mean(difference < 0))
    axes.annotate(
        f"nearer in {nearer:.0%} of rows", xy=(0.98, 0.94), xycoords="axes fraction", ha="right", color=INK
    )
    return figure
