"""What stands around rows and predictions: each protocol's request and answer."""

from serving.protocols import invocations, responses, simple, tensor_parameters, tensors, translation, v1, v2
from serving.protocols.responses import Answer

__all__ = [
    "Answer",
    "invocations",
    "responses",
    "simple",
    "tensor_parameters",
    "tensors",
    "translation",
    "v1",
    "v2",
]
