"""Estimators as pieces of the graph."""

__all__ = ["ensembles", "kernels", "linear", "neural", "trees"]
