"""What a body takes once it is decoded, by what can be counted in it before it is.

JSON's figures were measured with orjson 3.13 and CPython 3.11, sixteen kinds of bodies of 8 MiB each: its
own tree and the Python objects together, at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from serving.errors import TooLarge
from serving.rows.budget import need
from serving.settings import Limits

JSON_WORST = 45
"""Bytes for each byte of JSON: lists within lists, each of one value."""
JSON_COUNTED = 2**20
"""Larger bodies are counted; below, the worst is small enough."""
COST = {b"{": 180, b"[": 90, b",": 60, b":": 50, b'"': 20}
"""Bytes for each mark. A value has a comma behind it, an object's value a colon and two quotes before."""
CSV_BYTE, CSV_CELL = 6, 24
"""Bytes for each byte and each cell of CSV: its text, where its quotes are, offsets into it, trimmed, as floats."""
COUNTED_TWICE = 128 * 2**20
"""Where a body seems to cost more, marks within texts are told from structure."""
STEP = 2**17
GZIP_WORST = 1032
"""Bytes out of one byte of deflate."""
_QUOTED, _BREAKS = re.compile(rb'"[^"]*"'), re.compile(rb"[\r\n]")
_QUOTED_CELL = re.compile(rb'(?<![^,\r\n])"[^"]*(?:""[^"]*)*"')
"""Elsewhere than at the start of a cell a quote is text."""
SLACK = 64
"""Lists and objects around the rows, beside those of columns."""


def before_json(body: bytes, limits: Limits) -> None:
    """Hold what parsing a body takes; raises TooLarge for more rows than may be, or Busy."""
    if len(body) <= JSON_COUNTED:
        need(JSON_WORST * len(body))
        return
    text = (
        2 if body.isascii() and b"\\" not in body else 6
    )  # a text with one odd letter takes four times its bytes
    counts = {mark: body.count(mark) for mark in COST}
    # A row is an object or a list, a tensor has two of each.
    most = limits.rows + 4 * limits.columns + SLACK
    if max(counts[b"{"], counts[b"["]) > most or _cost(counts) > COUNTED_TWICE:
        counts = _outside_texts(body)
        if max(counts[b"{"], counts[b"["]) > most:
            raise TooLarge(what="rows", limit=limits.rows)
    need(text * len(body) + _cost(counts))


def _cost(counts: Mapping[bytes, int]) -> int:
    return sum(COST[mark] * count for mark, count in counts.items())


def _outside_texts(body: bytes) -> dict[bytes, int]:
    """Count what is structure, in steps that take little memory themselves."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"  ").replace(b'\\"', b"  ")
    codes, counts, inside = np.frombuffer(body, dtype=np.uint8), dict.fromkeys(COST, 0), 0
    for start in range(0, len(codes), STEP):
        part = codes[start : start + STEP]
        is_quote = part == ord('"')
        texts = (np.cumsum(is_quote, dtype=np.uint8) + np.uint8(inside)) & 1
        inside = int(texts[-1])
        outside = part[(texts == 0) | is_quote]
        for mark in COST:
            counts[mark] += int(np.count_nonzero(outside == ord(mark)))
    return counts


def before_gzip(body: bytes, limits: Limits) -> int:
    """Hold what expanding a body may take, and return that; raises Busy."""
    most = 2 * min(limits.body_bytes, GZIP_WORST * len(body))  # its parts, and then the whole of them
    need(most)
    return most


def before_csv(body: bytes, limits: Limits) -> None:
    """Hold what reading a body takes; raises TooLarge for more columns or rows than may be, or Busy."""
    head = _head_of(body)
    if head.count(b",") >= limits.columns and _QUOTED.sub(b"", head).count(b",") >= limits.columns:
        raise TooLarge(what="columns", limit=limits.columns)
    breaks = body.count(b"\n")
    need(CSV_BYTE * len(body) + CSV_CELL * (body.count(b",") + breaks + body.count(b"\r")))
    if breaks > limits.rows and _least_rows(body) > limits.rows:
        raise TooLarge(what="rows", limit=limits.rows)


def _least_rows(body: bytes) -> int:
    """Return how many rows stand below the header, at least: a line within quotes and an empty one are none."""
    lines = _QUOTED_CELL.sub(b"", body).replace(b"\r\n", b"\n")
    while b"\n\n" in lines:
        lines = lines.replace(b"\n\n", b"\n")
    return lines.strip(b"\n").count(b"\n")


def _head_of(body: bytes) -> bytes:
    """Return the first line; a line break within quotes does not end it."""
    quotes = start = 0
    for match in _BREAKS.finditer(body):
        quotes += body.count(b'"', start, match.start())
        start = match.start()
        if quotes % 2 == 0:
            return body[:start]
    return body
