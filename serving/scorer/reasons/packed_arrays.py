"""Named arrays as the bytes of a safetensors file, and back; nothing in such a file can run.

Eight bytes say how long a JSON header is; it names each array's type, shape and place among the bytes behind it.
An array is a view of those bytes: a small file cannot become a large one in memory, as with zipped arrays. The
`safetensors` package reads what is written here (https://github.com/huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from serving.scorer.errors import NotAScorer
from serving.scorer.scorer_files import EXPLAIN_FILE

NOTES = "__metadata__"
TYPES: dict[str, np.dtype[Any]] = {"F64": np.dtype("<f8"), "I32": np.dtype("<i4"), "U8": np.dtype("u1")}
LONGEST_HEADER, MOST_ARRAYS = 1_000_000, 1_000


class Arrays(NamedTuple):
    """What a file holds: arrays and notes by name."""

    by_name: Mapping[str, NDArray[Any]]
    notes: Mapping[str, str]


def packed(arrays: Arrays) -> bytes:
    """Return the bytes of a file: the same arrays give the same bytes.

    >>> unpacked(packed(Arrays({"x": np.arange(3.0)}, {"method": "m"}))).by_name["x"].tolist()
    [0.0, 1.0, 2.0]
    """
    header: dict[str, Any] = {NOTES: dict(sorted(arrays.notes.items()))}
    parts, end = [], 0
    names = {kind: name for name, kind in TYPES.items()}
    for name, values in sorted(arrays.by_name.items(), key=lambda each: (-each[1].dtype.itemsize, each[0])):
        part = np.ascontiguousarray(values).tobytes()
        place = [end, end + len(part)]
        header[name] = {"dtype": names[values.dtype], "shape": list(values.shape), "data_offsets": place}
        parts.append(part)
        end = place[1]
    said = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    said += b" " * (-len(said) % 8)
    return len(said).to_bytes(8, "little") + said + b"".join(parts)


def unpacked(content: bytes) -> Arrays:
    """Return the arrays of a file, views of its bytes; raises NotAScorer."""
    try:
        return _read(content)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NotAScorer(file=EXPLAIN_FILE, reason=f"cannot be read: {error!r:.200}") from error


def _read(content: bytes) -> Arrays:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(LONGEST_HEADER, len(content) - 8):
        raise ValueError("its header is longer than the file")
    header = json.loads(content[8 : 8 + length])
    notes = {str(name): str(text) for name, text in header.pop(NOTES, {}).items()}
    if len(header) > MOST_ARRAYS:
        raise ValueError(f"has {len(header)} arrays, at most {MOST_ARRAYS} are read")
    places = sorted(tuple(each["data_offsets"]) for each in header.values())
    if [0, *(end for _, end in places)] != [*(start for start, _ in places), len(content) - 8 - length]:
        raise ValueError("its arrays do not lie side by side to the end of the file")
    return Arrays({name: _array(content, 8 + length, each) for name, each in header.items()}, notes)


def _array(content: bytes, first: int, written: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape, (start, end) = TYPES[written["dtype"]], written["shape"], written["data_offsets"]
    if not all(type(size) is int and 0 <= size <= len(content) for size in (*shape, start, end)):
        raise ValueError("an array has no shape")
    count = math.prod(shape)
    if count * kind.itemsize != end - start:
        raise ValueError("an array's shape does not fit its bytes")
    values: NDArray[Any] = np.frombuffer(content, kind, count, first + start).reshape(shape)
    return values
