"""What is served: a version's two files, loaded, guarded, asked; knows no requests and no registry.

What runs a graph is imported at its first use: onnxruntime takes 30 MB that the parent process does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving.scorer import scorer_files, version_files
from serving.scorer.document import SLIPWAY, Document, Parity
from serving.scorer.intervals import Bounds, Floats, Intervals

if TYPE_CHECKING:
    from serving.scorer.scoring import Scorer, Session

__all__ = [
    "SLIPWAY",
    "Bounds",
    "Document",
    "Floats",
    "Intervals",
    "Parity",
    "Scorer",
    "Session",
    "scorer_files",
    "version_files",
]


def __getattr__(name: str) -> Any:
    if name not in ("Scorer", "Session"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from serving.scorer import scoring  # noqa: PLC0415 - see above

    return getattr(scoring, name)
