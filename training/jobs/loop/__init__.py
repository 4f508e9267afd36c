"""The courses of events that begin when a version is served: what it predicted, and the truth about it, come back."""

__all__ = ["compact", "feedback"]
