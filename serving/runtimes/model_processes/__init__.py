"""A model that only MLflow can run, in processes of its own, and what goes between them and the front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from serving.runtimes.model_processes.pyfunc import PyfuncRuntime

__all__ = ["PyfuncRuntime"]

__getattr__ = at_first_use(__name__, {"PyfuncRuntime": "pyfunc"})
