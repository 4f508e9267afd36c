"""What a Parquet file claims to hold, read from its footer and page headers before anything is expanded.

A footer names rows and sizes, which a list of zeros or a page's own header does not keep to: a file of
6 kB took 3.9 GB to read. The header of a page is a struct in Thrift's compact form, and says how large the
page becomes; pyarrow shows neither. A claim may lie downwards without harm: what a page holds beyond it is
an error of its reader. Encodings that make more of a page than its bytes are bounded by the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq

from serving.errors import Malformed

LONGEST_NUMBER = 32
"""Bytes of the widest decimal."""
FOOTER_WORST = 250
"""Bytes that pyarrow makes of one byte of a footer: columns whose description is left out."""
UNCOMPRESSED, COMPRESSED = 2, 3
"""The fields of a page's header that are numbers of bytes."""
DEEPEST = 8


def footer_cost(body: bytes) -> int:
    """Return what reading the footer may take."""
    return FOOTER_WORST * min(len(body), int.from_bytes(body[-8:-4], "little"))


def claimed(body: bytes, metadata: pq.FileMetaData, wanted: Sequence[str]) -> tuple[int, int]:
    """Return rows, and bytes of the wanted columns' pages once expanded; raises ValueError for odd claims."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    rows = sum(_natural(group.num_rows) for group in groups)
    expanded = 0
    for index in _places(metadata, wanted):
        for group in groups:
            chunk = group.column(index)
            if chunk.num_values > group.num_rows:
                raise ValueError("a column has more values than rows")
            expanded += sum(_pages(body, chunk))
    return max(rows, metadata.num_rows), expanded


def _places(metadata: pq.FileMetaData, wanted: Sequence[str]) -> list[int]:
    """Return where the wanted columns stand, all of one value in a row."""
    columns = [(index, metadata.schema.column(index)) for index in range(metadata.num_columns)]
    known = [(index, column) for index, column in columns if column.path in wanted]
    for _, column in known:
        if column.max_repetition_level or column.max_definition_level > 1:
            raise ValueError("a column is nested")
        if column.length > LONGEST_NUMBER:
            raise ValueError("a column's values are wider than any number")
        if column.physical_type == "BYTE_ARRAY" and column.logical_type.type == "DECIMAL":
            raise Malformed("Parquet's decimals of any length are not read: write them in a fixed length")
    return [index for index, _ in known]


def _natural(number: int) -> int:
    if number < 0:
        raise ValueError("a number of rows is below 0")
    return number


def _pages(body: bytes, chunk: Any) -> Iterator[int]:
    """Give the size that each page of a column chunk becomes."""
    first = chunk.data_page_offset
    if chunk.dictionary_page_offset is not None and 0 < chunk.dictionary_page_offset < first:
        first = chunk.dictionary_page_offset
    header = _Compact(body, _natural(first))
    end = min(len(body), first + _natural(chunk.total_compressed_size))
    while header.place < end:
        sizes = header.numbers()
        header.place += _natural(sizes.get(COMPRESSED, 0))
        yield _natural(sizes.get(UNCOMPRESSED, 0))


class _Compact:
    """The steps through Thrift's compact form that are needed here; raises ValueError where it is none."""

    def __init__(self, content: bytes, offset: int) -> None:
        self.content, self.place = content, offset

    def numbers(self) -> dict[int, int]:
        """Read a struct's own numbers by their field; what else it has is passed over."""
        numbers: dict[int, int] = {}
        field = 0
        while head := self._byte():
            kind, step = head & 15, head >> 4
            field = field + step if step else self._zigzag()
            if kind in (4, 5, 6):
                numbers[field] = self._zigzag()
            else:
                self._skip(kind, DEEPEST)
        return numbers

    def _byte(self) -> int:
        if self.place >= len(self.content):
            raise ValueError("a page's header is cut short")
        self.place += 1
        return self.content[self.place - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise ValueError("a number in a page's header has no end")

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _skip(self, kind: int, levels: int, *, in_list: bool = False) -> None:
        if not levels:
            raise ValueError("a page's header is nested too deep")
        if kind in (1, 2):
            self.place += in_list
        elif kind in (4, 5, 6):
            self._varint()
        elif kind in (3, 7):
            self.place += 1 if kind == 3 else 8
        elif kind == 8:
            length = self._varint()
            self.place += length
        elif kind in (9, 10):
            self._skip_list(levels)
        elif kind == 12:
            self._skip_struct(levels)
        else:
            raise ValueError("a page's header has a field of no known kind")

    def _skip_list(self, levels: int) -> None:
        head = self._byte()
        for _ in range(self._varint() if head >> 4 == 15 else head >> 4):
            self._skip(head & 15, levels - 1, in_list=True)
            if self.place > len(self.content):
                raise ValueError("a page's header is cut short")

    def _skip_struct(self, levels: int) -> None:
        while head := self._byte():
            if not head >> 4:
                self._zigzag()
            self._skip(head & 15, levels - 1)
