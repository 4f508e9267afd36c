"""What answers rows, behind one `Runtime`: the compiled graph here, or MLflow's pyfunc in processes of its own.

What loads them is imported at its first use, for this package also holds the programs of two processes: the one
that MLflow runs in needs no onnxruntime, and the one that tries a version imports it once it is nice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use
from serving.runtimes.background import INLINE_BYTES, Background
from serving.runtimes.bounded import within_limits
from serving.runtimes.forbidden import forbid_imports
from serving.runtimes.runtime import Description, Predicted, Runtime, Scored

if TYPE_CHECKING:
    from serving.runtimes.loading import load

__all__ = [
    "Background",
    "Description",
    "INLINE_BYTES",
    "Predicted",
    "Runtime",
    "Scored",
    "forbid_imports",
    "load",
    "within_limits",
]

__getattr__ = at_first_use(__name__, {"load": "loading"})
