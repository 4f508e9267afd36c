"""The parent's work: workers that run, and the versions that they are told to serve."""

from serving.fleet.crew import MODEL_BROKEN, Crew
from serving.fleet.following import Followed, Rules, follow
from serving.fleet.grpc_port import reserve

__all__ = ["MODEL_BROKEN", "Crew", "Followed", "Rules", "follow", "reserve"]
