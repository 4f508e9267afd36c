"""Whether a version takes the champion's place, and on what evidence."""

from training.gate.deciding import Decision
from training.gate.trial import Answered, Trial, check_same_weight

__all__ = ["Answered", "Decision", "Trial", "check_same_weight", "deciding"]
