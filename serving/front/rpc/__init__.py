"""The Open Inference Protocol over gRPC; imports grpc."""
