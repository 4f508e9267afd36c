"""Whether a champion is to be followed: when a challenger is trained, and whether it is better.

    rule        facts -> whether to train, in a sentence
    sequences   an interval for a mean that may be looked at every day
    shadow      a challenger on rows that came after its last

It sees facts and arrays; what they are made of, `training.retraining` knows.
"""

from training.succession.rule import ACTING, Costs, Facts, RetrainDecision, decide
from training.succession.shadow import Plan, Shadow, Verdict, gains, planned

__all__ = [
    "ACTING",
    "Costs",
    "RetrainDecision",
    "Facts",
    "Plan",
    "Shadow",
    "Verdict",
    "decide",
    "gains",
    "planned",
]
