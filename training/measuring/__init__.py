"""Arrays in, figures and their doubt out: errors, intervals of the errors, coverage, learning curves."""

from training.measuring.assessment import Assessment, Part, assess
from training.measuring.intervals import conformal, coverage
from training.measuring.scores import Evaluation, Scores, score

__all__ = [
    "Assessment",
    "Evaluation",
    "Part",
    "Scores",
    "assess",
    "comparison",
    "conformal",
    "coverage",
    "importance",
    "score",
]
