"""Preprocessing steps as pieces of the graph."""
