"""The courses of events: one module for each entry point."""

__all__ = ["adopt", "check", "history", "promote", "recalibrate", "reproduce", "result", "rollback", "train"]
