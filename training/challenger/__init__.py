"""A version that asks for the champion's place: searched, recorded, made, registered and judged."""

from training.challenger.judging import Decide, enter, judge
from training.challenger.making import log_model, write_version
from training.challenger.recording import record
from training.challenger.registering import Outcome

__all__ = [
    "Decide",
    "Outcome",
    "adopted",
    "enter",
    "judge",
    "log_model",
    "record",
    "registering",
    "searching",
    "write_version",
]
