"""A champion is followed by a challenger that captured rows make and judge.

rule        facts -> whether to train, in a sentence
facts       what is known of the champion and of its rows
rows        captured rows with their outcomes
table       these as a table, held to a contract
process     the training, as a process of its own
teaching    from rows to a registered challenger
sequences   an interval for a mean that may be looked at every day
shadow      the challenger on rows that came later
verdicts    what the shadow says, the gate, the ledger
memory      what the next call has to know
asked       what each step is given
course      the order of all this
"""

from training.retraining.asked import Asked
from training.retraining.course import after, follow
from training.retraining.rows import Day

__all__ = ["Asked", "Day", "after", "follow"]
