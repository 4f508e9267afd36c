"""A worker's doors, HTTP and gRPC, and what stands behind both."""

from serving.front.app import App
from serving.front.backend import Backend

__all__ = ["App", "Backend"]
