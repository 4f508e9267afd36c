"""Arrays in, figures and their doubt out: errors, intervals of the errors, coverage, learning curves."""

from training.measuring.assessment import Assessment, HoldoutErrors, assess
from training.measuring.intervals import conformal, coverage
from training.measuring.scores import Evaluation, Scores, score

__all__ = [
    "Assessment",
    "Evaluation",
    "HoldoutErrors",
    "Scores",
    "assess",
    "comparison",
    "conformal",
    "coverage",
    "importance",
    "score",
]
