"""A worker's doors, HTTP and gRPC, and what stands behind both."""

from serving.front.app import App
from serving.front.backend import Backend
from serving.front.logs import access_logger

__all__ = ["App", "Backend", "access_logger"]
