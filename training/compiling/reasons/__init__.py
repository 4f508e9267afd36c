"""What explains predictions, beside the graph that makes them.

reason_file    which way a pipeline is explained, and the file of it
leaf_covers    trees, by how many rows came to each leaf
dependence     columns that come from one another
"""

from training.compiling.reasons.reason_file import Sum, explained, spread_places, sum_of

__all__ = ["Sum", "explained", "spread_places", "sum_of"]
