"""What is served: a version's two files, loaded, guarded, asked; knows no requests and no registry.

What runs a graph is imported at its first use: onnxruntime takes 30 MB that the parent process does without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from serving.scorer import scorer_files, version_files
from serving.scorer.document import SLIPWAY, Document, Parity
from serving.scorer.intervals import Bounds, Floats, Intervals

if TYPE_CHECKING:
    from serving.scorer.graph_session import Session
    from serving.scorer.scoring import Scorer

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

__getattr__ = at_first_use(__name__, {"Scorer": "scoring", "Session": "graph_session"})
