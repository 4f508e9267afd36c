"""How far predictions reach for the promised share of targets, and which share they do reach."""

__all__ = ["conformal", "coverage"]
