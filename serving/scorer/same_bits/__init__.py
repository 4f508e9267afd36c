"""Many rows at rest, each with the same bits in any batch: what batch jobs and Spark score with.

    sessions    what is asked: onnxruntime for a few rows, the parts below for many
    graph_parts parts of a graph, cut out of its bytes; products that take each row twice
    leaf_masks  trees of few leaves, by tables in place of branches

It is imported at its first use: a server's worker has no need of it.
"""

from serving.scorer.same_bits.sessions import SameBitsSession

__all__ = ["SameBitsSession"]
