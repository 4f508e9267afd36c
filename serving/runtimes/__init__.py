"""What answers rows: the compiled graph in this process, or MLflow's pyfunc in processes of its own.

The runtimes are imported at their first use, for this package also holds the programs of two processes: the one
that MLflow runs in needs no onnxruntime, and the one that tries a version imports it once it is nice.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from serving.runtimes.bounded import within_limits
from serving.runtimes.forbidden import forbid_imports

if TYPE_CHECKING:
    from serving.runtimes.compiled import Local, predict
    from serving.runtimes.pyfunc import Remote

__all__ = ["Local", "Remote", "forbid_imports", "predict", "within_limits"]

_MODULES = {"Local": "compiled", "predict": "compiled", "Remote": "pyfunc"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
