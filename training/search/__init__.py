"""Which model to fit: specifications compete by cross-validation on the training rows."""

from training.search.candidates import Candidate
from training.search.choosing import Choice, Told, choose
from training.search.race import Budget, Standing

__all__ = ["Budget", "Candidate", "Choice", "Standing", "Told", "choose", "cross_validation"]
