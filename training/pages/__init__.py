"""What people read of a run: sentences, plots, cards."""

from training.pages.markdown import plain

__all__ = ["card", "column_plots", "evidence", "plain", "plots", "report", "watch_page"]
