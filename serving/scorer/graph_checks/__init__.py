"""Whether a graph may run at all: read byte by byte, its operators and shapes bounded."""

from serving.scorer.graph_checks.guard import check_graph, followed
from serving.scorer.graph_checks.reader import Node, ReadGraph, fields, read_graph

__all__ = ["Node", "ReadGraph", "check_graph", "fields", "followed", "read_graph"]
