"""Why a body is no JSON, in words for who sent it.

It runs where parsing has failed, and never on the good path. It says what kind of mistake stands where,
and the way out; it never quotes the body. What it knows of orjson is how its messages begin: where that
changes, line and column are still said.
"""

from __future__ import annotations

import json
import re

from serving.errors import Malformed, RequestError, TooLarge
from serving.settings import Limits

_OTHERS = {
    b"\x1f\x8b": "gzip: send the header Content-Encoding: gzip",
    b"PAR1": "Parquet: send the header Content-Type: application/vnd.apache.parquet",
    b"\xff\xff\xff\xff": "an Arrow stream: send the header Content-Type: application/vnd.apache.arrow.stream",
    b"ARROW1": "an Arrow file: send the header Content-Type: application/vnd.apache.arrow.file",
}
"""What a body may begin with that is something else."""

_NOT_A_NUMBER = re.compile(r"(^|.?-|.)(NaN|Infinity|inf\b)", re.IGNORECASE)
_SEND_NULL = (
    "NaN and Infinity are not JSON, send null for a missing value; in pandas "
    "df.astype(object).where(df.notna(), None)"
)
_SHAPES = {
    re.compile("'"): "texts and keys stand in double quotes, not single ones",
    re.compile(
        r"(None|True|False|undefined)\b"
    ): "Python's None, True and False are null, true and false in JSON",
    re.compile("[/#]"): "JSON has no comments",
}
"""What stands where another value is due."""

_REASONS = {
    "number is infinity": "a number is beyond float64, which ends at 1.8e308",
    "surrogate": r"a \u escape from d800 to dfff is half a character: send both halves, or the character itself",
    "trailing comma": "a comma stands before a closing bracket",
    "unexpected end": "it ends too soon: was it cut short?",
    "unexpected content after": "more follows behind its end: send one object (JSON Lines are not read)",
    "unexpected control": r"a line break, tab or other control character in a text is written \n, \t or \u0000",
    "invalid escape": r"a backslash in a text is written \\",
    "unexpected character, expected ','": "a comma or a closing bracket is due here",
    "unexpected character, expected ':'": "a colon is due here",
    "unexpected character, expected a string key": "a key in double quotes is due here",
    "unexpected character, expected a JSON value": "a value is due here",
    "number with leading zero": "a number begins with no zero: 7, not 07",
    "no digit": "a number is written as 0.5, 5.0 or -5: not .5, 5. or +5",
    "invalid literal": "a value is due here: a text in double quotes, a number, true, false or null",
}


def refusal(body: bytes, error: Exception, limits: Limits) -> RequestError:
    """Return what to answer to a body that orjson refused with this error."""
    if "depth limit" in str(error) or isinstance(error, RecursionError):
        return TooLarge(what="levels of JSON", limit=limits.json_depth)
    if not body.strip():
        return Malformed("the body is empty: send JSON, and its length")
    other = _other_format(body) or _other_encoding(body)
    if other or not isinstance(error, json.JSONDecodeError):
        return Malformed(f"the body is not valid JSON in UTF-8{other}")
    where = f"line {error.lineno}, column {error.colno}"
    return Malformed(f"the body is not valid JSON at {where}: {_reason(error)}")


def _other_format(body: bytes) -> str:
    return next((f" but {name}" for start, name in _OTHERS.items() if body.startswith(start)), "")


def _other_encoding(body: bytes) -> str:
    """Name an encoding that shows in the first four bytes, or the place where UTF-8 ends."""
    encoding = json.detect_encoding(body[:4]).upper()
    if not encoding.startswith("UTF-8"):
        return f" but {encoding[:6]}: send UTF-8"
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        return f" at its byte {broken.start + 1}: send UTF-8, not Latin-1 or Windows-1252"
    return ""


def _reason(error: json.JSONDecodeError) -> str:
    before, behind = error.doc[max(0, error.pos - 1) : error.pos], error.doc[error.pos : error.pos + 12]
    if _NOT_A_NUMBER.match(before + behind):
        return _SEND_NULL
    for pattern, why in _SHAPES.items():
        if pattern.match(behind):
            return why
    if error.pos == 0:
        return "JSON begins with a bracket; name another format in the header Content-Type, such as text/csv"
    return next((why for said, why in _REASONS.items() if said in error.msg), "a mistake in its form")
