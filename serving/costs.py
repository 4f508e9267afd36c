"""What a body takes once it is decoded, by what can be counted in it before it is.

JSON's figures were measured with orjson 3.13 and CPython 3.11, sixteen kinds of bodies of 8 MiB each: its
own tree and the Python objects together, at most. Marks within texts count as if they were structure.
"""

from __future__ import annotations

import re

import numpy as np

from serving.budget import need
from serving.errors import TooLarge
from serving.settings import Limits

JSON_WORST = 45
"""Bytes for each byte of JSON: lists within lists, each of one value."""
JSON_COUNTED = 2**20
"""Larger bodies are counted; below, the worst is small enough."""
COST = {b"{": 180, b"[": 90, b",": 60, b":": 50, b'"': 20}
"""Bytes for each mark. A value has a comma behind it, an object's value a colon and two quotes before."""
CSV_BYTE, CSV_CELL = 6, 24
"""Bytes for each byte and each cell of CSV: its text, where its quotes are, offsets into it, trimmed, as floats."""
GZIP_WORST = 1032
"""Bytes out of one byte of deflate."""
_QUOTED, _BREAKS = re.compile(rb'"[^"]*"'), re.compile(rb"[\r\n]")
SLACK = 64
"""Lists and objects around the rows, beside those of columns."""


def before_json(body: bytes, limits: Limits) -> None:
    """Hold what parsing a body takes; raises TooLarge for more rows than may be, or Busy."""
    if len(body) <= JSON_COUNTED:
        need(JSON_WORST * len(body))
        return
    found = {mark: body.count(mark) for mark in COST}
    # A row is an object or a list, a tensor has two of each; texts may hold brackets too.
    most = limits.rows + 4 * limits.columns + SLACK
    if max(found[b"{"], found[b"["]) > most and max(_outside_texts(body)) > most:
        raise TooLarge(what="rows", limit=limits.rows)
    text = (
        2 if body.isascii() and b"\\" not in body else 6
    )  # a text with one odd letter takes four times its bytes
    need(text * len(body) + sum(COST[mark] * count for mark, count in found.items()))


def _outside_texts(body: bytes) -> tuple[int, int]:
    """Return how many objects and lists there are, in steps that take little memory themselves."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    marks = np.frombuffer(body, dtype=np.uint8)
    objects = lists = inside = 0
    for start in range(0, len(marks), JSON_COUNTED):
        part = marks[start : start + JSON_COUNTED]
        texts = (np.cumsum(part == ord('"'), dtype=np.uint8) + np.uint8(inside)) & 1
        inside = int(texts[-1])
        objects += int(np.count_nonzero((part == ord("{")) & (texts == 0)))
        lists += int(np.count_nonzero((part == ord("[")) & (texts == 0)))
    return objects, lists


def before_gzip(body: bytes, limits: Limits) -> int:
    """Hold what expanding a body may take, and return that; raises Busy."""
    most = 2 * min(limits.body_bytes, GZIP_WORST * len(body))  # its parts, and then the whole of them
    need(most)
    return most


def before_csv(body: bytes, limits: Limits) -> None:
    """Hold what reading a body takes; raises TooLarge for more columns than may be, or Busy."""
    head = _head_of(body)
    if head.count(b",") >= limits.columns and _QUOTED.sub(b"", head).count(b",") >= limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    need(CSV_BYTE * len(body) + CSV_CELL * (body.count(b",") + body.count(b"\n") + body.count(b"\r")))


def _head_of(body: bytes) -> bytes:
    """Return the first line; a line break within quotes does not end it."""
    quotes = start = 0
    for place in _BREAKS.finditer(body):
        quotes += body.count(b'"', start, place.start())
        start = place.start()
        if quotes % 2 == 0:
            return body[:start]
    return body


def before_rows(rows: int, columns: int, *, copies: int = 2) -> None:
    """Hold what packing rows takes, floats or pointers, in so many copies; raises TooLarge or Busy."""
    if rows > 1:
        need(copies * 8 * rows * columns)
