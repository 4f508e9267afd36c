"""What may be printed, logged and recorded of an address, and of a text that has addresses in it.

One redactor for all packages. It does not know what a secret looks like: of a query it keeps the keys
that are known to be harmless and masks all others, of `user:password@` the password, for http all of it.
Where an address can be read in two ways (a `?` or an `@` in a password) it keeps less.

What it cannot see: a secret in a path (`https://hooks.example/T000/SECRET`), or one of three letters in a
driver's error. A driver's own words are searched for the secrets of the addresses that are passed along.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"

HARMLESS = frozenset(
    """
    application_name autocommit cache charset client_encoding connect_timeout database dbname driver encoding
    encrypt experimentids host hostaddr immutable mode nolock path port schema search searchfilter server
    ssl_mode sslmode target_session_attrs timeout timezone trusted_connection trustservercertificate uri
    viewstatesharekey warehouse workflowtype
    """.split()  # noqa: SIM905 - thirty lines of quotes otherwise
)
"""Keys of a query whose values are shown, as far as they are plain words."""

NAMED = frozenset(
    """
    access_key access_token api_key apikey auth key odbc_connect passfile passphrase passwd password pwd secret
    secret_key sig signature sslpassword token uid user
    """.split()  # noqa: SIM905
)
"""Keys that are shown with their value masked. Any other key is masked too: it may be part of a password."""

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(\S*)", re.DOTALL)
PLAIN = re.compile(r"[\w.\-/+]{0,64}")
ASSIGNED = re.compile(
    r"""(?ix) ((?:\b|_)(?:\w*(?:password|passwd|passphrase|secret|token|api_?key|access_?key)|pwd)\s*=\s*)(?!\*)
    ( \{[^}]*\} | "[^"]*" | '[^']*' | [^\s&;,'")]+ )"""
)
"""A secret where it is given a name, as in `PWD=...` or `password = "..."`."""

STORES = frozenset(("s3", "gs", "az", "abfs", "abfss", "hdfs"))
"""Stores that `data.sources.stores` knows: paths there are names, whatever letters they have."""

STORED = re.compile(r"((?:[\w.\-]+@)?[\w.\-]*/[^?;]*)(.*)", re.DOTALL)
"""An address there without a password in front: the path, and what a query would be."""

QUERY = re.compile(r"(?<=[\w/])\?[\w.%\-]+=\S*")
ENDING = re.compile(r"[:;,.)\]'\"]*$")
SHORTEST, SHORT = 4, 8
"""A secret of fewer than 4 letters is not looked for in a driver's words; one of fewer than 8 only as a whole word."""


def redact_address(address: str) -> str:
    """Return an address as it may be shown; a path comes back as it is.

    >>> redact_address("postgresql://me:sec@ret@host/db?sslmode=require&sslpassword=x")
    'postgresql://me:***@host/db?sslmode=require&sslpassword=***'
    >>> redact_address("http://bob:hun/ter2@host:5000")
    'http://***@host:5000'
    """
    before, scheme, rest = _parted(address)
    if not scheme:
        return address
    return f"{before}{scheme}://{_redacted_rest(scheme.lower(), rest)}"


def redact(text: str, *addresses: str) -> str:
    """Return a text without the secrets that its addresses hold, nor those of the addresses passed along.

    >>> redact("GET /health?token=abc: no host 'ter2@host'", "http://bob:hun@ter2@host")
    "GET /health?token=***: no host '***@host'"
    """
    for address in addresses:
        # Whole before its parts: masking the end of a password would leave its beginning as a host.
        text = text.replace(address, redact_address(address)) if "://" in address else text
        for secret in sorted(_secrets_of(address), key=len, reverse=True):
            text = _without(text, secret)
    if "=" not in text and "://" not in text:
        return text
    text = ADDRESS.sub(_shown_address, text)
    text = QUERY.sub(_shown_query, text)
    return ASSIGNED.sub(rf"\1{MASK}", text)


def addresses_around() -> list[str]:
    """Return the addresses that this process was given: on its command line, and as MLFLOW_..._URI."""
    given = [value for name, value in os.environ.items() if name.endswith("_URI")]
    return [word for word in [*given, *sys.argv[1:]] if "://" in word]


class RedactingFormatter(logging.Formatter):
    """Writes a log without secrets: libraries log addresses too, and tracebacks hold them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or lines, as they may be kept."""
        return redact(super().format(record), *addresses_around())


def log_to(handler: logging.Handler, *, level: int, form: str) -> None:
    """Log to one handler, without secrets."""
    handler.setFormatter(RedactingFormatter(form))
    logging.basicConfig(level=level, handlers=[handler])


def _parted(address: str) -> tuple[str, str, str]:
    """Return what stands before an address, its scheme and its rest; no scheme where there is none."""
    match = ADDRESS.search(address)
    if not match:
        return address, "", ""
    return address[: match.start()], match[1], address[match.start(2) :]


def _redacted_rest(scheme: str, rest: str) -> str:
    if scheme in STORES and (plain := STORED.fullmatch(rest)):
        return plain[1] + _masked_query(plain[2])
    location, query = _split(rest)
    if "@" in query and not rest.startswith(
        "/"
    ):  # it ends a password with a `?` in it, or stands in a value: nobody can tell
        return MASK
    user, at, where = location.rpartition("@")
    if rest.startswith("/") and ":" not in user:  # a file
        user, at, where = "", "", location
    # A port that is no number is a password whose host was forgotten.
    where = re.sub(r"^(\[[^\]]*\]|[^:/\[]*):(?!\d*(?:/|$))[^/]*", rf"\1:{MASK}", where)
    return _shown_user(scheme, user) + at + where + _masked_query(query)


def _split(rest: str) -> tuple[str, str]:
    """Split where the query, the fragment, or JDBC's list of settings begins."""
    match = re.search("[?#;]", rest)
    return (rest[: match.start()], rest[match.start() :]) if match else (rest, "")


def _shown_user(scheme: str, user: str) -> str:
    name, colon, _ = user.partition(":")
    if not user:
        return ""
    if scheme.startswith("http") or "/" in name:  # a token stands on either side of the colon there
        return MASK
    return f"{name}:{MASK}" if colon else name


def _masked_query(query: str) -> str:
    parts = re.split("([?&#;])", query)
    return "".join(
        part if index % 2 or (index == 2 and _is_page(parts)) else _masked_setting(part)
        for index, part in enumerate(parts)
    )


def _is_page(parts: list[str]) -> bool:
    """Return whether it is a page of MLflow's UI: behind a query, `#/` may be the middle of a password."""
    _, mark, setting, *_ = parts
    return mark == "#" and setting.startswith("/") and "=" not in setting


def _masked_setting(setting: str) -> str:
    key, equals, value = setting.partition("=")
    if not setting:
        return setting
    if equals and key.lower() in HARMLESS and PLAIN.fullmatch(value):
        return setting
    return f"{key}={MASK}" if equals and key.lower() in HARMLESS | NAMED else MASK


def _shown_address(match: re.Match[str]) -> str:
    whole = match[0]
    ending = ENDING.search(whole)
    end = ending.start() if ending else len(whole)
    return redact_address(whole[:end]) + whole[end:]


def _shown_query(match: re.Match[str]) -> str:
    whole = match[0]
    ending = ENDING.search(whole)
    end = ending.start() if ending else len(whole)
    return _masked_query(whole[:end]) + whole[end:]


def _secrets_of(address: str) -> set[str]:
    """Return what must not be said of an address, as it stands there, decoded, and in the parts a driver may see."""
    forms = {form for value in _values_of(address) for form in _forms(value)}
    return {form for form in forms if len(form) >= SHORTEST and form.lower() not in ("true", "false")}


def _values_of(address: str) -> Iterator[str]:
    _, scheme, rest = _parted(address)
    user, at, tail = rest.rpartition("@")
    name, _, password = user.partition(":")
    yield password
    if scheme.startswith("http"):
        yield name
    if not at and (port := re.match(r"[^:/?]*:([^/?]*[^\d/?][^/?]*)", tail)):
        yield port[1]
    _, *settings = re.split("[?&#;]", rest)
    for key, equals, value in (setting.partition("=") for setting in settings):
        if equals and key.lower() not in HARMLESS:
            yield value


def _forms(value: str) -> Iterator[str]:
    plain = unquote_plus(value)
    yield from (value, plain, unquote(value), quote(unquote(value), safe=""), quote_plus(plain))
    if "=" in plain and ";" in plain:  # a list of settings, most of them harmless
        yield from (match[2].strip("{}\"'") for match in ASSIGNED.finditer(plain))
    else:
        yield from re.split(r"[@/?#:;&=\s]", plain)


def _without(text: str, secret: str) -> str:
    if len(secret) >= SHORT:
        return text.replace(secret, MASK)
    return re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
