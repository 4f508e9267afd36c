"""A worker's doors: HTTP, gRPC, pages, limits, what is counted and logged."""

from serving.front.app import App, Loaded, load

__all__ = ["App", "Loaded", "load"]
