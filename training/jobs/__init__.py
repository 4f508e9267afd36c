"""The courses of events: one module for each entry point."""

__all__ = [
    "adopt",
    "check",
    "monitor",
    "recalibrate",
    "reproduce",
    "result",
    "train",
]
