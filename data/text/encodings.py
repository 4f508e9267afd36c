"""Which encoding a text file is in, and the same text as UTF-8.

UTF-8 where all bytes are; UTF-16 and UTF-32 by their mark; else Windows-1252, of which Latin-1 is a part, but only
where its bytes are certain. They are not where Windows-1252 has no such character, where other letters of the file are
UTF-8, or where it would make no words of a Western language: `Paw³owski` is Windows-1250, four such letters in a row
are Cyrillic, Greek or Japanese. Between Western encodings that share all of a file's letters nobody can tell, so what
is read is said with an example.
"""

from __future__ import annotations

import codecs
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

from data.errors import UnreadableSource

_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_PART = 2**20
_OTHERS = "cp1250 (Central Europe), cp1251 (Cyrillic), mac-roman, cp437 (DOS), shift-jis"
_ABSENT = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D, *range(9), *range(14, 26), *range(27, 32)])
_STRANGE = re.compile(
    rb"[\x80-\xff]{4}|[A-Za-z][\x8a\x8c\x8e\x9f][a-z]|[A-Za-z][\x82\x84]"
    rb"|[A-Za-z][\x80\x82-\x84\x86-\x89\x8b\x93\x94\x98\x9b\xa1-\xa9\xab\xac\xaf\xb1-\xb3\xb6\xb8\xb9\xbb-\xbf\xf7][A-Za-z]"
)
_CLOSING = re.compile(rb"[A-Za-z]\x94")
"""A closing quotation mark of Windows-1252: strange behind a word where none opens before it."""

_WORD = re.compile(rb"[A-Za-z\x80-\xff]*[\x80-\xff][A-Za-z\x80-\xff]*")


class Encoding(NamedTuple):
    """An encoding by Python's name, and a word that shows it."""

    name: str = "utf-8"
    example: str = ""

    def __str__(self) -> str:
        """Name it, with the example."""
        return f"{self.name} (as in {self.example!r})" if self.example else self.name


def encoding_of(file: BinaryIO, where: str, given: str = "") -> Encoding:
    """Return the encoding of a file that is at its start; raises UnreadableSource where that is not certain."""
    if given:
        return Encoding(_known(given))
    start = file.read(2**12)
    for mark, encoding in _MARKS.items():
        if start.startswith(mark):
            return Encoding(encoding)
    if start.count(b"\0") > len(start) // 4:
        raise UnreadableSource(
            where=where,
            reason="is no text, or UTF-16 without its mark",
            repair="pass encoding=utf-16-le if it is",
        )
    return Encoding() if _is_utf8(file) else _western(file, where)


def _known(name: str) -> str:
    try:
        codec = codecs.lookup(name)
    except LookupError:
        codec = None
    if codec is None or not codec._is_text_encoding:
        raise UnreadableSource(
            where=f"encoding={name}",
            reason="is no encoding that Python knows",
            repair="pass one such as cp1252",
        )
    return codec.name


def _is_utf8(file: BinaryIO) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while part := file.read(_PART):
            if decoder.getstate()[0] or not part.isascii():
                decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _western(file: BinaryIO, where: str) -> Encoding:
    """Return Windows-1252 where that is certain of every word; each is looked at once in a part of the file."""
    file.seek(0)
    example = ""
    while part := file.read(_PART):
        part += file.readline(_PART)
        if part.isascii():
            continue
        words = set(_WORD.findall(part))
        if len(part.translate(None, _ABSENT)) < len(part) or any(map(_is_strange, words)):
            _refuse_strange(file, where)
            return Encoding("cp1252", example or _word(part, 0))
        example = example or _word(part, 0)
    return Encoding("cp1252", example)


def _is_strange(word: bytes) -> bool:
    return (
        bool(_STRANGE.search(word) or _CLOSING.search(word))
        or not word.decode("utf-8", errors="ignore").isascii()
    )


def _refuse_strange(file: BinaryIO, where: str) -> None:
    """Raise UnreadableSource with the first line that may be in another encoding."""
    file.seek(0)
    number, wrong, has_utf8 = 0, (0, b""), False
    while line := file.readline(_PART):
        number += 1
        if line.isascii():
            continue
        has_utf8 = has_utf8 or not line.decode("utf-8", errors="ignore").isascii()
        start = _not_utf8(line)
        odd = next((at for at, byte in enumerate(line) if byte in _ABSENT), -1)
        if match := _STRANGE.search(line) or (_CLOSING.search(line) if b"\x93" not in line else None):
            odd = match.start()
        if start >= 0 and odd >= 0:
            raise _uncertain(f"{where}, line {number}", line, odd, "and Windows-1252 makes no word of it")
        wrong = wrong if wrong[0] or start < 0 else (number, line)
    if has_utf8:
        start = _not_utf8(wrong[1])
        raise _uncertain(f"{where}, line {wrong[0]}", wrong[1], start, "though other letters are")


def _not_utf8(line: bytes) -> int:
    """Return where a line stops to be UTF-8, -1 where it is all of it."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return -1


def _uncertain(where: str, line: bytes, offset: int, why: str) -> UnreadableSource:
    return UnreadableSource(
        where=where,
        reason=f"{_word(line, offset)!r} is not UTF-8, {why}",
        repair=f"pass encoding=cp1252 if it reads well so, or such as {_OTHERS}, or save it as UTF-8",
    )


def _word(line: bytes, start: int) -> str:
    """Return the word with a letter beyond ASCII at or after a place, as Windows-1252 has it."""
    first = max((each.start() for each in _WORD.finditer(line) if each.start() <= start), default=start)
    match = _WORD.search(line, first)
    shown = match.group() if match else line[max(start - 10, 0) : start + 10]
    return shown[:30].decode("cp1252", errors="replace")


@contextmanager
def as_utf8(file: BinaryIO, encoding: str, where: str) -> Iterator[BinaryIO]:
    """Yield a file's text as UTF-8: the file itself where it is, else one on disk; raises UnreadableSource."""
    file.seek(0)
    if encoding == "utf-8":
        yield file
        return
    with tempfile.TemporaryFile() as made:
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            while part := file.read(_PART):
                made.write(decoder.decode(part).encode("utf-8"))
            made.write(decoder.decode(b"", final=True).encode("utf-8"))
        except (UnicodeError, ValueError) as error:
            raise UnreadableSource(
                where=where,
                reason=f"is not {encoding}: {error}",
                repair="pass another encoding=..., or save it as UTF-8",
            ) from error
        made.seek(0)
        yield cast("BinaryIO", made)
