"""Figures over all held-out rows of a table that memory does not hold, kept as sums while the rows go by.

exact_sums  sums that neither order nor parts change
tally       what is summed of each row, and the figures that come of it
"""

from training.measuring.whole_holdout.tally import Tally, WholeHoldout

__all__ = ["Tally", "WholeHoldout"]
