"""A worker's doors, HTTP and gRPC, and what stands behind both."""

from serving.front.access_log import logger as access_logger
from serving.front.app import App
from serving.front.backend import Backend

__all__ = ["App", "Backend", "access_logger"]
