"""Which runtime a version gets: the one that the operator chose."""

from __future__ import annotations

from serving.runtimes.compiled import CompiledRuntime
from serving.runtimes.model_processes import PyfuncRuntime
from serving.runtimes.runtime import Runtime
from serving.settings import Model, Settings


def _compiled(model: Model, settings: Settings) -> Runtime:
    return CompiledRuntime.load(model, threads=settings.threads)


def _pyfunc(model: Model, settings: Settings) -> Runtime:
    return PyfuncRuntime(model, settings.limits, processes=settings.processes, joins=settings.joins)


_LOADERS = {"scorer": _compiled, "pyfunc": _pyfunc}


def load(model: Model, settings: Settings) -> Runtime:
    """Load a version; raises ModelError."""
    return _LOADERS[model.runtime](model, settings)
