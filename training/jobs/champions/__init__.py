"""Who is champion, by hand: a version promoted, the one before brought back, the ledger read."""

__all__ = ["history", "promote", "rollback"]
