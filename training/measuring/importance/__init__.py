"""Which columns matter: what errors lose when one is shuffled, and what each adds to predictions."""

from training.measuring.importance.added import Contributions, contributions
from training.measuring.importance.shuffled import Drops, Importance, importance

__all__ = ["Contributions", "Drops", "Importance", "contributions", "importance"]
