"""Which model to fit: specifications compete by cross-validation on the training rows."""

from training.search.candidates import Candidate
from training.search.choosing import Callbacks, Choice, choose
from training.search.race import Budget, Standing

__all__ = ["Budget", "Candidate", "Choice", "Standing", "Callbacks", "choose", "cross_validation"]
