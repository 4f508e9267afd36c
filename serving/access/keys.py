"""Keys, kept as SHA-256 hashes in files: those that score, and those that send labels, which are others.

Labels decide what a later version learns. So whoever may ask for predictions may not say what became of them.
"""

from __future__ import annotations

import codecs
import hashlib
import hmac
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.errors import SettingsError
from serving.settings import Settings

FEEDBACK = "--feedback-key-file"
SHORTEST_KEY = 16
"""Bytes. The hash of a shorter key is guessed within hours by who has the file."""

_HASH = re.compile(
    r"\\?(?!.*  [0-9a-f]{64}$)(?P<hash>[0-9a-f]{64})(?:  .*| \*.*)?"  # sha256sum's, with or without a file's name
    r"|SHA(?:2-)?256 ?\(.*\) ?= ?(?P<tagged>[0-9a-f]{64})",  # openssl, BSD
    re.IGNORECASE,
)
_OF_NOTHING = {hashlib.sha256(nothing).hexdigest() for nothing in (b"", b"\n", b"\r\n")}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

logger = logging.getLogger(__name__)


class Keys:
    """The keys of one file."""

    def __init__(self, path: str, hashes: tuple[bytes, ...]) -> None:
        self._path, self._hashes = path, hashes
        self._warned = False

    def knows(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether one of them came with a request; every hash is compared."""
        fits = [key for key in _keys(headers) if self._fits(key)]
        if fits and not self._warned and min(map(len, fits)) < SHORTEST_KEY:
            self._warned = True
            logger.warning(
                "a key of fewer than %d characters is in use: its hash in %s is soon guessed; make longer ones",
                SHORTEST_KEY,
                self._path,
            )
        return bool(fits)

    def _fits(self, key: bytes) -> bool:
        digest = hashlib.sha256(key).hexdigest().encode()
        return bool(sum(hmac.compare_digest(digest, known) for known in self._hashes))


def key_files(settings: Settings) -> tuple[Keys | None, Keys | None]:
    """Read the keys that score, and those that send labels; None where none is asked for. Raises SettingsError."""
    scoring, feedback = settings.key_file, settings.feedback_key_file
    hashes = read_hashes(Path(scoring)) if scoring is not None else ()
    others = read_hashes(Path(feedback), FEEDBACK) if feedback is not None else ()
    if set(hashes) & set(others):
        raise SettingsError(
            f"{FEEDBACK} {feedback}: holds a key of --api-key-file: make others, for labels decide what is learned"
        )
    return (
        None if scoring is None else Keys(scoring, hashes),
        None if feedback is None else Keys(feedback, others),
    )


def _keys(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Give each key that came; a proxy may have put another in the header that the client left free."""
    if given := headers.get(b"x-api-key", b"").strip():
        yield given
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer" and key.strip():
        yield key.strip()


def read_hashes(path: Path, option: str = "--api-key-file") -> tuple[bytes, ...]:
    """Return the hashes of a key file, one a line, # for comments; raises SettingsError."""
    try:
        lines = _text(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option} {path}: cannot be read") from error
    hashes = [
        _hash_in(f"{option} {path}, line {number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not hashes:
        raise SettingsError(f"{option} {path}: holds no hash; {_HOW}")
    return tuple(digest.encode() for digest in hashes)


_HOW = 'add one a line with: printf %s "$KEY" | sha256sum'


def _text(written: bytes) -> str:
    """Decode a file that PowerShell or Notepad may have written."""
    encoding = next((name for bom, name in _BOMS.items() if written.startswith(bom)), "utf-8")
    return written.decode(encoding)


def _hash_in(where: str, line: str) -> str:
    """Return a line's hash; the line itself may be a key, so no error quotes it."""
    match = _HASH.fullmatch(line.strip()) or _HASH.fullmatch(line.partition("#")[0].strip())
    if not match:
        raise SettingsError(f"{where}: is no SHA-256 hash in hex; keys themselves don't belong there, {_HOW}")
    digest = (match["hash"] or match["tagged"]).lower()
    if digest in _OF_NOTHING:
        raise SettingsError(f"{where}: is the hash of an empty key, which anybody has; {_HOW}")
    return digest
