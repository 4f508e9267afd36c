"""What people read of a run: sentences, plots, cards."""
