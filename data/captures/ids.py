"""A prediction's id: a UUIDv7 (RFC 9562, 5.7) whose last 24 bits count the rows of its frame.

Nothing is stored for a row: the first 104 bits are the frame's, and the id of the next row is one more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_RANDOM_BITS = 50
_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class PredictionId(NamedTuple):
    """Where a prediction was kept.

    >>> PredictionId.parse("019ac5b0-1c00-7abc-9234-56789a000007")
    PredictionId(frame='019ac5b0-1c00-7abc-9234-56789a', row=7)
    """

    frame: str
    row: int

    @classmethod
    def parse(cls, text: str) -> PredictionId:
        """Read an id, in upper case too; raises ValueError where it is none of ours."""
        known = text.strip().lower()
        if not _FORM.fullmatch(known):
            raise ValueError("is no prediction id, such as 019ac5b0-1c00-7abc-9234-56789a000007")
        return cls(known[:30], int(known[30:], 16))

    def __str__(self) -> str:
        return f"{self.frame}{self.row:06x}"

    @property
    def milliseconds(self) -> int:
        """When its frame began, since 1970: the row was answered then or soon after.

        >>> PredictionId("019ac7c2-7000-7000-8000-000000", 0).milliseconds
        1764288000000
        """
        return int(self.frame[:13].replace("-", ""), 16)


def frame_id(milliseconds: int, random: int) -> str:
    """Return what all ids of a frame begin with.

    Parameters
    ----------
    milliseconds : int
        Since 1970, now.
    random : int
        50 bits that no other frame of this millisecond has.

    >>> frame_id(1764288000000, 0)
    '019ac7c2-7000-7000-8000-000000'
    """
    first, second = divmod(random % 2**_RANDOM_BITS, 2**38)
    number = milliseconds << 80 | 0x7 << 76 | first << 64 | 0b10 << 62 | second << 24
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:26]}"
