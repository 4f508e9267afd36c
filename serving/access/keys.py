"""Keys, kept as SHA-256 hashes in files: each with a name, with what it may do, and with how often.

Labels decide what a later version learns. So a key that may ask for predictions may not say what became of them: those
are keys of their own, in a file of their own or beside the others.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from serving.access.identities import FEEDBACK, NAMES, SCOPES, SCORING, Identity, RateLimit
from serving.errors import SettingsError
from serving.settings import Settings

SCORING_FILE, FEEDBACK_FILE = "--api-key-file", "--feedback-key-file"
SHORTEST_KEY = 16
"""Bytes. The hash of a shorter key is guessed within hours by who has the file."""

_HASH = re.compile(
    r"\\?(?!.*  [0-9a-f]{64}$)(?P<hash>[0-9a-f]{64})(?:  .*| \*.*)?"  # sha256sum's, with or without a file's name
    r"|SHA(?:2-)?256 ?\(.*\) ?= ?(?P<tagged>[0-9a-f]{64})",  # openssl, BSD
    re.IGNORECASE,
)
_SCOPES = rf"(?:{'|'.join(SCOPES)})"
_RIGHTS = re.compile(
    rf"(?P<hash>[0-9a-f]{{64}})\s+(?![0-9a-f]{{64}}\b)(?P<name>{NAMES})"
    rf"(?:\s+(?P<scopes>{_SCOPES}(?:,{_SCOPES})*))?(?:\s+(?P<requests>[1-9]\d{{0,8}})(?:/(?P<unit>[smhd]))?)?",
    re.IGNORECASE | re.ASCII,
)
_MEANT_AS_RIGHTS = re.compile(rf"{_SCOPES}|\d+/\w+$", re.IGNORECASE | re.ASCII)
"""How a word begins that is not understood, and that nobody would leave behind a hash but for what a key may do."""
_NO_NAME = re.compile(rf"{_SCOPES}|\d+/\w+", re.IGNORECASE | re.ASCII)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_OF_NOTHING = {hashlib.sha256(nothing).hexdigest() for nothing in (b"", b"\n", b"\r\n")}
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}

logger = logging.getLogger(__name__)

Known = Mapping[bytes, Identity]
"""Who has a key, by the key's SHA-256."""


class Keys:
    """The keys of a server's files."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._warned = False

    def holder(self, key: bytes, digest: bytes) -> Identity | None:
        """Return who has a key."""
        result = self._known.get(digest)
        if result and not self._warned and len(key) < SHORTEST_KEY:
            self._warned = True
            logger.warning(
                "a key of fewer than %d characters is in use: its hash is soon guessed by who has the file; make "
                "longer ones",
                SHORTEST_KEY,
            )
        return result


def key_files(settings: Settings) -> Keys:
    """Read the keys that score, and those that send labels; raises SettingsError."""
    scoring = read_keys(Path(settings.key_file)) if settings.key_file is not None else {}
    feedback = settings.feedback_key_file
    others = read_keys(Path(feedback), FEEDBACK_FILE) if feedback is not None else {}
    if scoring.keys() & others.keys():
        raise SettingsError(
            f"{FEEDBACK_FILE} {feedback}: holds a key of --api-key-file: make others, for labels decide what is learned"
        )
    return Keys({**scoring, **others})


def credentials(headers: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Give each key or token that came; a proxy may have put another in the header that the client left free."""
    if given := headers.get(b"x-api-key", b"").strip():
        yield given
    scheme, _, key = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer" and key.strip():
        yield key.strip()


def read_keys(path: Path, option: str = SCORING_FILE) -> dict[bytes, Identity]:
    """Return who has which key: one a line, # for comments; raises SettingsError."""
    try:
        lines = _text(path.read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option} {path}: cannot be read") from error
    known: dict[bytes, Identity] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            where = f"{option} {path}, line {number}"
            digest, result = _line(where, line, option, number)
            first = known.setdefault(digest, result)
            if (first.scopes, first.limit) != (result.scopes, result.limit):
                raise SettingsError(f"{where}: is a key that stands above with other rights: write it once")
    if not known:
        raise SettingsError(f"{option} {path}: holds no hash; {_HOW}")
    return known


_HOW = 'add one a line with: printf %s "$KEY" | sha256sum'


def _text(written: bytes) -> str:
    """Decode a file that PowerShell or Notepad may have written."""
    encoding = next((name for bom, name in _BOMS.items() if written.startswith(bom)), "utf-8")
    return written.decode(encoding)


def _line(where: str, line: str, option: str, number: int) -> tuple[bytes, Identity]:
    """Return what a line says; the line itself may be a key, so no error quotes it."""
    without_comment = line.partition("#")[0].strip()
    rights = _RIGHTS.fullmatch(without_comment)
    match = rights or _HASH.fullmatch(line.strip()) or _HASH.fullmatch(without_comment)
    if not match:
        raise SettingsError(
            f"{where}: is no SHA-256 hash in hex, alone or with a name, scopes ({','.join(SCOPES)}) and a limit "
            f"(10/s); keys themselves don't belong there, {_HOW}"
        )
    digest = (match["hash"] or match["tagged"]).lower()
    if digest in _OF_NOTHING:
        raise SettingsError(f"{where}: is the hash of an empty key, which anybody has; {_HOW}")
    if rights and hashlib.sha256(rights["name"].encode()).hexdigest() == digest:
        raise SettingsError(f"{where}: holds the key itself beside its hash: write a name there")
    after = without_comment[match.end("hash") :].split() if match["hash"] else []
    if _NO_NAME.fullmatch(rights["name"]) if rights else any(map(_MEANT_AS_RIGHTS.match, after)):
        raise SettingsError(
            f"{where}: has rights that are not understood: write HASH NAME SCOPES LIMIT, scopes of "
            f"{','.join(SCOPES)}, a limit such as 10/s, and a name that is none of these"
        )
    if rights is None and len(after) > 1:
        logger.warning("%s: is read as the hash of a file with blanks in its name, without scopes", where)
    return bytes.fromhex(digest), _identity(where, option, rights, f"line {number}", bytes.fromhex(digest))


def _identity(where: str, option: str, rights: re.Match[str] | None, unnamed: str, digest: bytes) -> Identity:
    usual = frozenset({FEEDBACK}) if option == FEEDBACK_FILE else SCORING
    if rights is None:
        return Identity("key", unnamed, usual)
    scopes = frozenset(rights["scopes"].lower().split(",")) if rights["scopes"] else usual
    if FEEDBACK in scopes and len(scopes) > 1:
        raise SettingsError(f"{where}: may send labels and something else: make two keys, each for its own")
    if option == FEEDBACK_FILE and scopes != usual:
        raise SettingsError(f"{where}: may not send labels: keys for something else go into --api-key-file")
    limit = None
    if rights["requests"]:
        limit = RateLimit(int(rights["requests"]), _SECONDS[(rights["unit"] or "s").lower()], digest)
    return Identity("key", rights["name"], scopes, limit)
