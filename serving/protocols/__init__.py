"""What stands around rows and predictions: each way to ask and to be answered, behind one `Protocol`."""

from typing import Any

from serving.protocols import responses, translation, v1
from serving.protocols.invocations import Invocations
from serving.protocols.open_inference import tensors, v2
from serving.protocols.over_http import HttpProtocol
from serving.protocols.protocol import Call, Errors, Protocol
from serving.protocols.reasoned import Reasoned
from serving.protocols.responses import Answer
from serving.protocols.simple import Simple
from serving.settings import Limits

__all__ = [
    "Answer",
    "Call",
    "Errors",
    "Protocol",
    "http_protocols",
    "responses",
    "tensors",
    "translation",
    "v1",
    "v2",
]


def http_protocols(limits: Limits) -> dict[str, HttpProtocol[Any]]:
    """Return what HTTP carries, by the names that the metrics have for it."""
    kinds: tuple[type[HttpProtocol[Any]], ...] = (
        Invocations,
        Reasoned,
        Simple,
        v1.FirstProtocol,
        v2.OpenInference,
    )
    return {kind.name: kind(limits) for kind in kinds}
