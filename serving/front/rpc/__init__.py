"""The Open Inference Protocol over gRPC; imports grpc."""

from serving.front.rpc.server import StoppingCalls, start

__all__ = ["start", "StoppingCalls"]
