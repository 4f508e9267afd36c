"""Preprocessing steps as pieces of the graph."""

from training.compiling.steps.targets import inverse

__all__ = ["calendar", "encoders", "inverse", "preprocessing"]
