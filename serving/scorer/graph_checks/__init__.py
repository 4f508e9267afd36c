"""Whether a graph may run at all: read byte by byte, its operators and shapes bounded."""

from serving.scorer.graph_checks.guard import check_graph

__all__ = ["check_graph"]
