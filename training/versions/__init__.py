"""A version's folder, as stock MLflow loads it."""

from training.versions.loadable import check_loadable
from training.versions.stock import bare_environment, predictions_of

__all__ = ["bare_environment", "check_loadable", "flavor", "predictions_of"]
