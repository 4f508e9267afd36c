"""The Open Inference Protocol over gRPC; imports grpc."""

from serving.front.rpc.server import start

__all__ = ["start"]
