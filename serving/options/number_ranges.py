"""Numbers on the command line, each within its bounds."""

from __future__ import annotations

import argparse
from typing import Any


def number_in(kind: type, low: float, high: float) -> Any:
    """Return argparse's reader of a number in this range."""

    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    read.__name__ = "whole number" if kind is int else "number"
    return read
