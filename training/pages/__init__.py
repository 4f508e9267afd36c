"""What people read of a run: sentences, plots, cards."""

from training.pages.markdown import plain

__all__ = ["card", "evidence", "plain", "report", "watch_page"]
