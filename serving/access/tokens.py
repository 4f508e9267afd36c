"""JSON Web Tokens (RFC 7519), verified against a file of public keys (JWKS, RFC 7517): nobody is asked.

The operator brings the file (a sidecar, a CronJob), and it is read again when it changes. The algorithms are those
below whatever a token or the file says. A verified token is remembered by its digest until its `exp`. What is not
here: revocation before `exp`, encrypted tokens, keys that a token brings itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from serving.access.identities import FEEDBACK, SCOPES, SCORING, Identity
from serving.errors import SettingsError
from serving.settings import Settings, TokenRules

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
CURVES = {None: ("RS256", "PS256"), "P-256": ("ES256",), "Ed25519": ("EdDSA",)}
"""What keys of a curve verify, and those without one (RSA); a file's other keys are somebody else's (RFC 7517, 5)."""
LEEWAY = 30.0
"""Seconds by which the clocks of who signs and who verifies may differ, for `exp` and `nbf`."""
MOST_BYTES = 8192
"""Of a token."""
MOST_KEPT = 10_000
"""Verified tokens that are remembered, 300 bytes each; where there are more, all are forgotten."""
LATEST = 1e18
"""Seconds since 1970; a whole number of JSON may be larger than any float."""
LEAST_RSA_BITS = 2048
MOST_NAME = 128

Claims = Mapping[str, Any]


class _Doubt(Exception):
    """Why a token is none; goes to the client, and quotes nothing of it."""


class Tokens:
    """The tokens of one issuer for one audience."""

    def __init__(self, rules: TokenRules) -> None:
        self._rules = rules
        self._scopes = scopes_asked(rules.scopes)
        self._kept: dict[bytes, tuple[Identity, float]] = {}
        self._keys: list[TokenKey] = []
        self.load()

    def load(self) -> None:
        """Read the file of keys, and forget what others verified; raises SettingsError, and keeps the old ones."""
        self._keys = read_jwks(Path(self._rules.jwks))
        self._kept = {}

    def holder(self, token: bytes, digest: bytes) -> Identity:
        """Return who has a token, by its SHA-256 where it was verified before."""
        kept = self._kept.get(digest)
        now = time.time()
        if kept and now < kept[1]:
            return kept[0]
        try:
            claims = self._verified(token)
            until = self._check(claims, now)
        except _Doubt as doubt:
            return Identity(doubt=str(doubt))
        result = Identity("token", _name(claims), self._granted(claims))
        if len(self._kept) >= MOST_KEPT:
            self._kept = {}
        self._kept[digest] = (result, until)
        return result

    def _verified(self, token: bytes) -> Claims:
        """Return the claims of a token with a good signature."""
        if len(token) > MOST_BYTES:
            raise _Doubt(f"the token is longer than {MOST_BYTES} bytes")
        head, _, rest = token.partition(b".")
        header, claims = _object(head), _object(rest.partition(b".")[0])
        algorithm, name = header.get("alg"), header.get("kid")
        if header.keys() & {"crit", "b64"}:
            raise _Doubt("the token asks for what is not done here")
        if algorithm not in ALGORITHMS:
            raise _Doubt(f"the token is not signed by {', '.join(ALGORITHMS)}")
        _check_signature(token, self._key(algorithm, name), algorithm)
        return claims

    def _key(self, algorithm: str, name: Any) -> Any:
        """Return the key that a token was signed with: its own, or the only one that can have been."""
        fitting = [each for each in self._keys if algorithm in each.algorithms]
        if name is not None:
            fitting = [each for each in fitting if each.name == name]
        if len(fitting) != 1:
            raise _Doubt("the token is signed with a key that is not known here")
        return fitting[0].key

    def _check(self, claims: Claims, now: float) -> float:
        """Return until when the claims hold."""
        if claims.get("iss") != self._rules.issuer:
            raise _Doubt("the token is of another issuer")
        audience = claims.get("aud")
        if self._rules.audience not in (audience if isinstance(audience, list) else [audience]):
            raise _Doubt("the token is for another audience")
        ends = _moment(claims, "exp")
        if ends is None or now >= ends + LEEWAY:
            raise _Doubt("the token has no end" if ends is None else "the token has expired")
        begins = _moment(claims, "nbf")
        if begins is not None and now < begins - LEEWAY:
            raise _Doubt("the token is not valid yet")
        return ends + LEEWAY

    def _granted(self, claims: Claims) -> frozenset[str]:
        """Return what the token's scopes allow."""
        words: set[Any] = set()
        for named in (claims.get("scope"), claims.get("scp")):
            words |= set(named.split() if isinstance(named, str) else _texts(named))
        return frozenset(ours for ours, theirs in self._scopes.items() if not theirs or theirs in words)


def scopes_asked(given: tuple[str, ...]) -> dict[str, str]:
    """Return which scope of a token each of ours asks for, empty for none; raises SettingsError.

    >>> scopes_asked(("slipway:predict", "feedback=slipway:label"))
    {'predict': 'slipway:predict', 'metrics': 'slipway:predict', 'page': 'slipway:predict', 'feedback': 'slipway:label'}
    """
    asked: dict[str, str] = {}
    usual = ""
    for each in given:
        ours, sign, theirs = each.partition("=")
        if sign and ours in SCOPES and theirs:
            asked[ours] = theirs
        elif usual or not each or " " in each or (sign and ours in SCOPES):
            raise SettingsError(f"--scope {each}: pass one, and others as {'|'.join(SCOPES)}=SCOPE")
        else:
            usual = each
    named = {ours: asked.get(ours, usual) for ours in SCOPES if ours in SCORING}
    return named | ({FEEDBACK: asked[FEEDBACK]} if FEEDBACK in asked else {})


def tokens_of(settings: Settings) -> Tokens | None:
    """Return what verifies tokens, if they are taken; raises SettingsError."""
    if not settings.tokens.jwks:
        return None
    if not find_spec("joserfc"):
        raise SettingsError("--jwks needs joserfc: pip install '.[jwt]' in Slipway's folder")
    return Tokens(settings.tokens)


def _texts(found: Any) -> list[str]:
    """Return the texts of what may be a list of them."""
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


class TokenKey(NamedTuple):
    """A key of the file: its `kid`, and the algorithms that it may verify."""

    name: str | None
    algorithms: frozenset[str]
    key: Any


def read_jwks(path: Path) -> list[TokenKey]:
    """Return the public keys of a file that verify our algorithms; raises SettingsError."""
    from joserfc.errors import JoseError  # noqa: PLC0415 - an extra, and 15 MB that others do not need
    from joserfc.jwk import import_key  # noqa: PLC0415

    where = f"--jwks {path}"
    try:
        listed = json.loads(path.read_bytes(), object_pairs_hook=_once)["keys"]
        has_secrets = any(each.get("kty") == "oct" or "d" in each for each in listed)
        given = [each for each in listed if _is_ours(each) and each.get("use") != "enc"]
    except OSError as error:
        raise SettingsError(f"{where}: cannot be read") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, _Doubt) as error:
        raise SettingsError(f'{where}: is no set of keys: {{"keys": [...]}}') from error
    if has_secrets:
        raise SettingsError(f"{where}: holds a secret key: publish the public ones alone")
    try:
        keys = [TokenKey(key.kid, _algorithms(key), key) for key in map(import_key, given)]
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SettingsError(f"{where}: holds a key that cannot be read") from error
    for each in keys:
        if each.key.key_type == "RSA" and each.key.public_key.key_size < LEAST_RSA_BITS:
            raise SettingsError(f"{where}: holds an RSA key of fewer than {LEAST_RSA_BITS} bits")
    if not any(each.algorithms for each in keys):
        raise SettingsError(f"{where}: holds no key for {', '.join(ALGORITHMS)}")
    return keys


def _is_ours(given: Mapping[str, Any]) -> bool:
    """Return whether a key is of a kind that we read."""
    kind, curve = given.get("kty"), given.get("crv")
    return kind == "RSA" or (kind in ("EC", "OKP") and curve in list(CURVES)[1:])


def _algorithms(key: Any) -> frozenset[str]:
    """Return the algorithms that a key may verify, by its kind and by what it says of itself."""
    said = key.as_dict()
    kind = CURVES.get(said.get("crv"), ())
    only = {"Ed25519": "EdDSA"}.get(said.get("alg"), said.get("alg"))
    verifies = "verify" in (said.get("key_ops") or ["verify"])
    return frozenset(each for each in kind if verifies and only in (None, each))


def _check_signature(token: bytes, key: Any, algorithm: str) -> None:
    from joserfc import jws  # noqa: PLC0415
    from joserfc.errors import JoseError  # noqa: PLC0415

    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        with warnings.catch_warnings(action="ignore"):  # EdDSA has another name by now (RFC 9864)
            jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise _Doubt("the token's signature is not good") from error


def _object(part: bytes) -> dict[str, Any]:
    """Return an object of JSON in base64, in which no name comes twice: two readers could take two of them."""
    try:
        text = base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
        result = json.loads(text.decode(), object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _Doubt("the token cannot be read") from error
    if not isinstance(result, dict):
        raise _Doubt("the token cannot be read")
    return result


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise _Doubt("the token says something twice")
    return result


def _refuse(_constant: str) -> float:
    raise _Doubt("the token cannot be read")


def _moment(claims: Claims, name: str) -> float | None:
    """Return a time of a claim, in seconds since 1970."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LATEST:
        raise _Doubt("the token has a time that is none")
    return float(value)


def _name(claims: Claims) -> str:
    """Return what the audit calls the bearer."""
    result = next(
        (claims[name] for name in ("sub", "client_id", "azp") if isinstance(claims.get(name), str)), ""
    )
    return result[:MOST_NAME]
