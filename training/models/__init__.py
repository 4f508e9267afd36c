"""What can be fitted: the families, their settings, and how a pipeline is fitted with weights."""

from training.models import all_rows
from training.models.all_rows import AllRows
from training.models.families import Spec, build, fewer_bins, lightgbm_loads
from training.models.fitting import fit

__all__ = [
    "AllRows",
    "Spec",
    "all_rows",
    "build",
    "fewer_bins",
    "fit",
    "lightgbm_loads",
    "portfolio",
    "ranges",
]
