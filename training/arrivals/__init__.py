"""Days of rows that a version answered, or is asked about now, as its watch takes them.

day            one day: packed rows, answers, outcomes
from_tables    a table with a column of dates, scored here
from_captures  what servers kept, as it was answered, with the labels that came back
explained      what columns add to the predictions of a day
late           rows that came for days that were taken already
nights         one call of the monitor: what is opened, seen, logged and kept
"""

from training.arrivals.day import Arrivals, Arrived, day_before
from training.arrivals.explained import explaining
from training.arrivals.from_captures import Opened
from training.arrivals.late import Late
from training.arrivals.nights import Nights, arrivals_of, opened

__all__ = [
    "Arrivals",
    "Arrived",
    "Late",
    "Nights",
    "Opened",
    "arrivals_of",
    "explaining",
    "day_before",
    "opened",
]
