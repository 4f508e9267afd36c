"""Why a version's folder is not loaded, or gives no answer.

NotLoadable  it asks for a loader, a format or code that is not ours
StockFailed

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from training.errors import RegistryError


class NotLoadable(RegistryError):
    """A version asks for a loader, a format, a type or code that is not ours."""

    template = "{name} version {version} is not loaded: {fault}, which Slipway does not write: train again"
    name: str
    version: str
    fault: str


class StockFailed(RegistryError):
    """Stock MLflow does not load or score a version that is to be promoted."""

    template = "stock MLflow gives no answer with this version: {reason}"
    reason: str
