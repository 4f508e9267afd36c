"""How text files are laid out, as far as the user says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Header = Literal["auto", "first", "none"]
HEADERS: tuple[Header, ...] = ("auto", "first", "none")


@dataclass(frozen=True)
class Layout:
    """What the user says where the files leave it open.

    Attributes
    ----------
    header : {"auto", "first", "none"}
        Whether the first line is a header; "auto" refuses one that looks like data.
    encoding : str
        Python's name of the encoding, or nothing: UTF-8, or what the bytes are certain to be.
    """

    header: Header = "auto"
    encoding: str = ""
