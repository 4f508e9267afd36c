"""Plots: those of a run, of its columns, and of the days that a watch has seen."""

from training.pages.drawings.plots import ACCENT, INK, canvas, shortened

__all__ = ["ACCENT", "INK", "canvas", "column_plots", "day_plots", "plots", "shortened"]
