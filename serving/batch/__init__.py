"""Tables scored at rest: one file, or a folder in parts that many processes and machines write together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from serving.batch.beside import Options, with_predictions
    from serving.batch.carried import Carried
    from serving.batch.outputs import check_output
    from serving.batch.parted import Work, score_parts
    from serving.batch.tallies import Report
    from serving.batch.whole_file import score_file

__all__ = [
    "Carried",
    "Options",
    "Report",
    "Work",
    "check_output",
    "score_file",
    "score_parts",
    "with_predictions",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Carried": "carried",
        "Options": "beside",
        "Report": "tallies",
        "Work": "parted",
        "check_output": "outputs",
        "score_file": "whole_file",
        "score_parts": "parted",
        "with_predictions": "beside",
    },
)
