"""A champion is followed by a challenger that captured rows make and judge.

asked       what each step is given
facts       what is known of the champion and of its rows
contract    what rows are held to
teaching    from rows to a registered challenger
process     its training, as a process of its own
verdicts    what the shadow says, the gate, the ledger
memory      what the next call has to know
course      the order of all this
"""

from training.retraining.asked import Asked
from training.retraining.course import after, follow

__all__ = ["Asked", "after", "follow"]
