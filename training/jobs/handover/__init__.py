"""A version that others take: signed for them, or copied to where they are."""

__all__ = ["copy", "sign"]
