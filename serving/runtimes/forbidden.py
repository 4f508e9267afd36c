"""The training libraries, which no process that loads a scorer may import: a model file gets no door to them."""

from __future__ import annotations

import sys
from typing import Any

FORBIDDEN = ("mlflow", "sklearn", "pandas", "skops", "joblib", "cloudpickle")


class _Forbidden:
    """An import hook that knows the training libraries and finds none of them."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
        if name.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{name} is not for serving workers", name=name)


def forbid_imports() -> None:
    """Make importing a training library an error here; pyarrow imports pandas wherever it finds it."""
    sys.meta_path.insert(0, _Forbidden)
