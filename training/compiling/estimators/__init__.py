"""Estimators as pieces of the graph."""
