"""Whether a version still does what it was promoted for: evidence with a known rate of false alarms.

    evidence    is a stream like its reference, has the mean error risen; what bettors own
    lately      what the last days showed, for people
    moving      how much a column counts: what it adds to predictions
    live        figures of several days together
    reference   what a version's rows looked like when it was made, kept with it
    watching    the state: days of rows in, evidence and alarms out

It sees arrays and tables; it knows neither MLflow nor the server.
"""

from training.monitoring.lately import Moved
from training.monitoring.reference import RISK, Groups, Known, Moments, Reference, reference_of
from training.monitoring.watching import NO_DRIFT, Watch

__all__ = [
    "Groups",
    "Known",
    "Moments",
    "Moved",
    "NO_DRIFT",
    "RISK",
    "Reference",
    "Watch",
    "live",
    "reference_of",
]
