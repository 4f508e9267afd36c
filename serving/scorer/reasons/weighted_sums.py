"""Blends of trees and lines, exactly: the Shapley values of a sum are the sums of those of its parts.

The trees are explained by the covers of their leaves, the rest of the blend by what each column, or two together,
give by themselves. That rest has a small graph of its own beside the model's. Training made sure that the two add up
to the prediction.
"""

from __future__ import annotations

import numpy as np

from serving.scorer.intervals import Floats
from serving.scorer.reasons.column_pairs import ColumnPairs
from serving.scorer.reasons.leaf_paths import LeafPaths
from serving.scorer.reasons.single_columns import SingleColumns


class WeightedSum:
    """Explains such a model; the parts' weights are in their values already, and the whole's base is the trees'."""

    method = "weighted-sum"

    def __init__(self, trees: LeafPaths, line: SingleColumns | ColumnPairs) -> None:
        self.parts = (trees, line)
        self.base = trees.base
        self.most_rows = min(trees.most_rows, line.most_rows)

    def explain(self, matrix: Floats, predictions: Floats, deadline: float) -> tuple[Floats, None]:
        """Return each column's share, (n_rows, n_columns); raises TooSlow, or NotAScorer where nothing fits."""
        shares = np.zeros(matrix.shape)
        for part in self.parts:
            shares += part.explain(matrix, predictions, deadline)[0]
        return shares, None
