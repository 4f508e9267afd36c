"""The courses of events: one module for each entry point."""

__all__ = [
    "adopt",
    "check",
    "history",
    "monitor",
    "promote",
    "recalibrate",
    "reproduce",
    "result",
    "rollback",
    "train",
]
