"""The Open Inference Protocol (V2): its REST form, its tensors as rows and rows as tensors, and its parameters."""

from serving.protocols.open_inference.tensors import NUMPY, NamedTensor, WantedOutputs, check_date

__all__ = ["NUMPY", "NamedTensor", "WantedOutputs", "check_date", "tensor_parameters", "tensors", "v2"]
