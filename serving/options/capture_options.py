"""What `--capture` asks for, checked before a worker starts: the folder, the key, and the columns by name.

What a worker does with it is in `serving.front.capture`.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from data.captures import Places
from data.column_names import matching
from data.schema import Column
from serving.access import identities, read_keys
from serving.errors import BadCapture, ModelError, SettingsError
from serving.options.number_ranges import number_in
from serving.scorer import scorer_files
from serving.settings import LOOPBACK, CaptureRules, Settings

OPTIONS = ("share", "rows", "sync", "rotate", "exclude", "hash", "hash_key", "keep")
ASKING = ("api_key_file", "jwks", "tls_client_ca")
"""Options that ask who it is."""
LEAST_KEY = 16
"""Bytes of a key: a shorter one is found by trying."""

logger = logging.getLogger("serving")


def add_captures(line: argparse.ArgumentParser) -> None:
    """Add the options."""
    line.add_argument("--capture", metavar="DIR", help="keep rows and predictions in this folder")
    line.add_argument(
        "--capture-share",
        type=number_in(float, 1e-6, 1),
        help="of the requests that are kept, drawn by lot; 1 if not given",
    )
    line.add_argument(
        "--capture-rows",
        type=number_in(int, 1, 2**40),
        help="kept a second at most, about, of all workers; fewer requests are drawn where more come",
    )
    line.add_argument(
        "--capture-sync",
        type=number_in(float, 0, 3600),
        help="seconds after which what was kept is on the disk, 1 if not given; 0 leaves that to the system",
    )
    line.add_argument(
        "--capture-rotate",
        type=number_in(
            float, 0.1, 600
        ),  # a monitor takes a day a quarter of an hour after midnight: it must be closed
        help="seconds after which a file of captures is closed, so that others take it, 600 at most; 300 if not given",
    )
    line.add_argument(
        "--capture-keep",
        metavar="AGE",
        type=age,
        help="delete files that are older and that nobody made Parquet of, such as 90d; nothing if not given",
    )
    line.add_argument(
        "--capture-exclude", metavar="COLUMNS", action="append", help="left out, separated by commas"
    )
    line.add_argument(
        "--capture-hash",
        metavar="COLUMNS",
        action="append",
        help="categories that are kept as HMAC-SHA256, separated by commas; with --capture-hash-key",
    )
    line.add_argument(
        "--capture-hash-key", metavar="FILE", help="whose content is the key, of 16 bytes or more"
    )
    line.add_argument(
        "--feedback-key-file",
        metavar="FILE",
        help="SHA-256 hashes of the keys that may send labels to /feedback; with --capture",
    )


def capture_rules(given: argparse.Namespace) -> CaptureRules:
    """Return what the options say; raises SettingsError where they do not go together."""
    named = {name: getattr(given, f"capture_{name}") for name in OPTIONS}
    alone = [name for name, value in named.items() if value is not None]
    if alone and not given.capture:
        raise SettingsError(f"--capture-{alone[0].replace('_', '-')} goes with --capture DIR")
    if not given.capture:
        return CaptureRules()
    if bool(given.capture_hash) != bool(given.capture_hash_key):
        raise SettingsError("--capture-hash and --capture-hash-key go together")
    return CaptureRules(
        folder=str(Path(given.capture).absolute()),
        share=named["share"] or 1.0,
        rows=named["rows"] or 0,
        sync=1.0 if named["sync"] is None else named["sync"],
        rotate=named["rotate"] or 300.0,
        exclude=_listed("exclude", named["exclude"]),
        hashed=_listed("hash", named["hash"]),
        key_file=str(Path(given.capture_hash_key).absolute()) if given.capture_hash_key else "",
        keep=named["keep"] or 0.0,
    )


def age(given: str) -> float:
    """Return days or hours in seconds, for argparse."""
    parts = re.fullmatch(r"([1-9]\d{0,4})([dh])", given, re.ASCII)
    if not parts:
        raise argparse.ArgumentTypeError(f"{given!r} must be days or hours, such as 90d or 36h")
    return int(parts[1]) * {"d": 86_400.0, "h": 3_600.0}[parts[2]]


def check_feedback(given: argparse.Namespace) -> None:
    """Raise SettingsError where labels would be taken from anybody: they decide what a later version learns."""
    if given.feedback_key_file and not given.capture:
        raise SettingsError("--feedback-key-file goes with --capture DIR")
    is_alone = given.host in LOOPBACK
    asks = next((name for name in ASKING if getattr(given, name)), None)
    if given.capture and (asks or not is_alone) and not _lets_somebody_send_labels(given):
        why = f"--{asks.replace('_', '-')}" if asks else f"--host {given.host}"
        raise SettingsError(
            f"{why} with --capture: pass --feedback-key-file too, since labels decide what is learned"
        )


def _lets_somebody_send_labels(given: argparse.Namespace) -> bool:
    """Return whether a key or a token may send labels."""
    if given.feedback_key_file or any(each.startswith("feedback=") for each in given.scope):
        return True
    keys = read_keys(Path(given.api_key_file)) if given.api_key_file else {}
    return any(identities.FEEDBACK in each.scopes for each in keys.values())


def _listed(option: str, given: Sequence[str] | None) -> tuple[str, ...]:
    names = [name.strip() for text in given or () for name in text.split(",")]
    if "" in names:
        _refuse(option, ",".join(given or ()), "a name between two commas is empty")
    return tuple(dict.fromkeys(names))


def prepare_captures(settings: Settings) -> None:
    """Make the folder, close what a dead server left open in it, and look at columns and key; raises SettingsError."""
    rules = settings.capture
    if not rules.folder:
        return
    _check_columns(rules, _columns_of(settings))
    places = Places(Path(rules.folder))
    _make(places)
    if rules.key_file:
        _check_key(Path(rules.key_file), places.folder)
    if closed := places.close_dead():
        logger.info("%d files of captures closed that a dead worker left open", closed)


def _columns_of(settings: Settings) -> list[tuple[Column, ...]]:
    result = []
    for model in settings.models:
        try:
            result.append(scorer_files.document_in(Path(model.folder)).schema.columns)
        except ModelError as error:  # the worker says it too, and ends
            logger.debug("captures: %s", error)
    return result


def _check_columns(rules: CaptureRules, models: Sequence[tuple[Column, ...]]) -> None:
    columns = [column for each in models for column in each]
    for word in (*rules.exclude, *rules.hashed) if models else ():
        if not _named(word, models):
            known = ", ".join(dict.fromkeys(column.name for column in columns))
            option = "exclude" if word in rules.exclude else "hash"
            _refuse(option, word, f"no such column; the model has {known}")
    left = [column for word in rules.exclude for column in _named(word, models)]
    for word in rules.hashed:
        _check_hashed(word, _named(word, models), left)


def _check_hashed(word: str, named: Sequence[Column], left: Sequence[Column]) -> None:
    for column in named:
        if column.kind != "category":
            reason = (
                f"is a {column.kind}, and categories alone are hashed: leave it out with --capture-exclude"
            )
            _refuse("hash", word, reason)
        if column in left:
            _refuse("hash", word, "is left out by --capture-exclude, too: name it once")


def _named(word: str, models: Sequence[tuple[Column, ...]]) -> list[Column]:
    """Return the column that a word means in each model that has one."""
    result = []
    for columns in models:
        name = matching(word, [column.name for column in columns])
        result += [column for column in columns if column.name == name]
    return result


def _make(places: Places) -> None:
    """Make the folders, for this user alone, and see that a file can be written and locked in each."""
    try:
        places.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (places.frames, places.labels):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".try-") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.posix_fallocate(file.fileno(), 0, 2**12)
    except OSError as error:
        _refuse(
            "capture",
            str(places.folder),
            f"cannot be written ({error.strerror}): name a folder that you may write to",
        )


def _check_key(path: Path, folder: Path) -> None:
    if path.resolve().is_relative_to(folder.resolve()):
        _refuse(
            "capture-hash-key", str(path), "lies with the captures: keep it elsewhere, or it hides nothing"
        )
    try:
        length = len(path.read_bytes().strip())
    except OSError as error:
        _refuse("hash-key", str(path), f"cannot be read ({error.strerror})")
    if length < LEAST_KEY:
        _refuse(
            "hash-key",
            str(path),
            f"has {length} bytes, needs {LEAST_KEY} or more: openssl rand -base64 32 > {path}",
        )


def _refuse(option: str, given: str, reason: str) -> NoReturn:
    whole = option if option.startswith("capture") else f"capture-{option}"
    raise BadCapture(option=whole, given=given, reason=reason)
