"""The Open Inference Protocol in protobuf's messages, as gRPC carries them; imports protobuf, which is an extra."""

from serving.protocols.v2_messages.coding import OpenInferenceMessages, Refusal, parse
from serving.protocols.v2_messages.counting import check_fields
from serving.protocols.v2_messages.messages import CALLS, PACKAGE, POOL, SERVICE, message

__all__ = [
    "CALLS",
    "OpenInferenceMessages",
    "PACKAGE",
    "POOL",
    "Refusal",
    "SERVICE",
    "check_fields",
    "message",
    "parse",
]
