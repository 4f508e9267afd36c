"""Estimators as pieces of the graph."""

__all__ = ["ensembles", "kernels", "leafwise", "linear", "neural", "trees"]
