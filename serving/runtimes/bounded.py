"""The kernel ends or refuses what takes more processor time or memory than loading a version may."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.errors import ModelError
from serving.settings import Model, Settings

FILE_TIMES = 60
"""How many times its file's size a version may take: while onnxruntime reads 5,000 trees of 20 MiB it takes 38."""

THREAD_BYTES = 160 * 2**20
"""Of address space for each thread: its stack, and what the allocator keeps in reserve for it."""


@contextmanager
def within_limits(model: Model, settings: Settings) -> Iterator[None]:
    """Bound the processor time and memory of what is loaded inside; raises ModelError for whatever fails there.

    MLflow's own processes are not bounded: nobody knows what a library that they load needs.
    """
    if model.runtime != "scorer":
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = [
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + settings.load_seconds)),
        _lower(resource.RLIMIT_AS, _address_space(model, settings)),
    ]
    try:
        yield
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        if _is_about_memory(error):
            raise _too_large(settings) from error
        if isinstance(error, ModelError):
            raise
        raise _unloadable(error) from error
    finally:
        for kind, limits in before:
            resource.setrlimit(kind, limits)


def _lower(kind: int, soft: int) -> tuple[int, tuple[int, int]]:
    """Set a limit that this process can lift again; return what it was."""
    old = resource.getrlimit(kind)
    bound = [limit for limit in (soft, *old) if limit != resource.RLIM_INFINITY]
    with suppress(ValueError, OSError):  # macOS has no limit on address space
        resource.setrlimit(kind, (min(bound), old[1]))
    return kind, old


def _address_space(model: Model, settings: Settings) -> int:
    files = sum(path.stat().st_size for path in Path(model.folder).glob("*"))
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:  # no Linux
        return sys.maxsize
    here = pages * resource.getpagesize()
    return here + settings.load_bytes + FILE_TIMES * files + settings.threads * THREAD_BYTES


def _is_about_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("bad_alloc", "allocate memory")
    )


def _too_large(settings: Settings) -> ModelError:
    return ModelError(
        f"it was too large: it needs more than {settings.load_bytes:,} bytes and {FILE_TIMES} times its file "
        "(--load-bytes)"
    )


def _unloadable(error: Exception) -> ModelError:
    line = (str(error).splitlines() or [""])[0][:200]
    return ModelError(f"it cannot be loaded: {type(error).__name__}: {line}")
