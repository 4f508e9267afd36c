"""Processes in which specifications are tried and fitted, and which end with their time."""

from training.search.processes.pool import Pool, fitted_until, warm_up

__all__ = ["Pool", "fitted_until", "warm_up"]
