"""Which model to fit: specifications compete by cross-validation; the winner is fitted on all rows and compiled."""

from training.search.candidates import Candidate
from training.search.choosing import Callbacks, Choice, choose
from training.search.race import Standing
from training.search.winner import Winner, winner_of

__all__ = [
    "Callbacks",
    "Candidate",
    "Choice",
    "Standing",
    "Winner",
    "choose",
    "cross_validation",
    "processes",
    "winner_of",
]
