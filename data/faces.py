"""What a folder offers, imported at its first use.

The face of a folder names what others may import from it. Some of these names need pyarrow or pandas, and who imports
one that does not should not wait for them: the serving worker takes a single class of `data.cells`.

    __getattr__ = at_first_use(__name__, {"Table": "table", "fingerprint": "fingerprints"})

This is PEP 562; type checkers read the imports under `TYPE_CHECKING` instead. No name may be that of its module, since
Python puts an imported module in the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def at_first_use(folder: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a folder's `__getattr__`, by the module that each name is taken from."""

    def offered(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {folder!r} has no attribute {name!r}")
        return getattr(import_module(f"{folder}.{modules[name]}"), name)

    return offered
