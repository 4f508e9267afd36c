"""Thrift's compact protocol, in which Parquet's footers are written."""

from __future__ import annotations


def varint(number):
    """Write a whole number as Thrift's compact protocol does."""
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])
