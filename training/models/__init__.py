"""What can be fitted: the families, their settings, and how a pipeline is fitted with weights."""

from training.models.all_rows import AllRows, can_learn_all, learn_all
from training.models.families import Spec, build, fewer_bins, lightgbm_loads
from training.models.fitting import fit

__all__ = [
    "AllRows",
    "Spec",
    "build",
    "can_learn_all",
    "fewer_bins",
    "fit",
    "learn_all",
    "lightgbm_loads",
    "portfolio",
    "ranges",
]
