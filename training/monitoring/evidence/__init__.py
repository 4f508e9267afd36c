"""Evidence that grows with each day, and never past its bound by chance more often than was said.

ranks     is a stream like its reference: columns, predictions, errors, misses of intervals
harm      has the mean error risen
wealth    what bettors own, by days
"""

from training.monitoring.evidence.harm import GroupIds, HarmEvidence, Limit, limit_of, means
from training.monitoring.evidence.ranks import MISSING, Bins, RankEvidence, bins_of
from training.monitoring.evidence.wealth import Bettors

__all__ = [
    "Bettors",
    "Bins",
    "GroupIds",
    "HarmEvidence",
    "Limit",
    "MISSING",
    "RankEvidence",
    "bins_of",
    "limit_of",
    "means",
]
