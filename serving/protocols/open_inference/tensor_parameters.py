"""Parameters of the Open Inference Protocol: what stands beside a request, a tensor or an output.

MLServer's codecs, Triton's and KServe's options. Those that change what a tensor means, or where it stands, are
obeyed or refused; any other may be there and is ignored. Values are plain ones here: which message brought
them is for REST's and gRPC's shells. A null is absent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from serving.errors import Malformed
from serving.protocols.open_inference.tensors import NamedTensor
from serving.rows import coercion

OF_TABLES = ("pd", "np", "str")
"""Content types that say what is done here anyway: a column, an array, text."""

OF_TEXTS = ("str", "base64", "datetime")
"""Content types of BYTES alone."""

ELSEWHERE = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")


def coverage_of(parameters: Mapping[str, Any]) -> Any:
    """Check a request's parameters and return its coverage, if it has one; raises Malformed."""
    if parameters.get("content_type") not in (None, *OF_TABLES):
        raise Malformed(f"a request's content_type must be {' or '.join(OF_TABLES)}, or left out")
    return parameters.get("coverage")


def flag(parameters: Mapping[str, Any], name: str, *, otherwise: bool) -> bool:
    """Return a parameter that is true or false; raises Malformed."""
    value = parameters.get(name)
    if value is None:
        return otherwise
    if type(value) is not bool:
        raise Malformed(f"{name} must be true or false")
    return value


def check_output(parameters: Mapping[str, Any]) -> None:
    """Raise Malformed where an output is asked for in a form that is not made here."""
    _refuse_elsewhere(parameters)
    if parameters.get("classification"):
        raise Malformed("classification is for models of classes: leave it out")
    if parameters.get("content_type") not in (None, *OF_TABLES):
        raise Malformed(f"an output's content_type must be {' or '.join(OF_TABLES)}, or left out")


def as_meant(tensor: NamedTensor, parameters: Mapping[str, Any]) -> NamedTensor:
    """Return a tensor as its parameters say that it is to be read; raises Malformed."""
    _refuse_elsewhere(parameters)
    content = parameters.get("content_type")
    if content not in (None, *OF_TABLES, *OF_TEXTS):
        raise Malformed("a tensor's content_type must be pd, np, str, base64 or datetime, or left out")
    if content in OF_TEXTS and tensor.datatype != "BYTES":
        raise Malformed(f"content_type {content} goes with the datatype BYTES alone")
    if content == "base64":
        return tensor._replace(values=_from_base64(tensor.values))
    return tensor._replace(is_date=content == "datetime")


def _refuse_elsewhere(parameters: Mapping[str, Any]) -> None:
    if any(parameters.get(name) for name in ELSEWHERE):
        raise Malformed("tensors in shared memory are not read here: send the values in the request")


def _from_base64(values: Sequence[Any]) -> Sequence[Any]:
    try:
        if isinstance(values, coercion.Repeated):
            return coercion.Repeated([_text(text) for text in values.distinct], values.indices)
        return [None if text is None else _text(text) for text in values]
    except ValueError as error:  # also of characters beyond ASCII, and of bytes that are no UTF-8
        raise Malformed("content_type base64: each value must be base64 (RFC 4648) of UTF-8 text") from error


def _text(written: str) -> str:
    """Decode one text; raises ValueError for any but the one way to write it."""
    content = base64.b64decode(written, validate=True)
    if base64.b64encode(content).decode() != written:
        raise ValueError("bits after the end")
    return content.decode("utf-8")
