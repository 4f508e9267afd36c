"""What can be fitted: the families, their settings, and how a pipeline is fitted with weights."""

from training.models.families import Spec, build, fewer_bins, lightgbm_loads
from training.models.fitting import fit

__all__ = ["Spec", "build", "fewer_bins", "fit", "lightgbm_loads", "portfolio", "ranges"]
