"""Tokens as an issuer makes them, and as an attacker does."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from serving.access.tokens import LEEWAY, MOST_BYTES

ISSUER, AUDIENCE, SCOPE = "https://issuer.example", "slipway", "slipway:predict"

SIGNED = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "PS256": RSAKey.generate_key(2048, {"kid": "pss", "alg": "PS256"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
}

KEYS = {key.kid: key for key in SIGNED.values()}


def published(*keys):
    """The file's text."""
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys or SIGNED.values()]})


def claims(**changed):
    """What a good token says; None leaves a claim out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "exp": now + 600, "nbf": now}
    said["scope"] = f"openid {SCOPE}"
    return {name: value for name, value in (said | changed).items() if value is not None}


def token(said=None, *, algorithm="RS256", key=None, **header):
    """A token as the issuer signs it."""
    signer = key or SIGNED[algorithm]
    head = {"alg": algorithm, "kid": signer.kid, "typ": "JWT"} | header
    kept = {name: value for name, value in head.items() if value is not None}
    with warnings.catch_warnings(action="ignore"):  # EdDSA has another name by now (RFC 9864)
        return signed(kept, said or claims(), signer)


def signed(head, said, key):
    """A token over a head and claims, or over the bytes of claims."""
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    registry = jws.JWSRegistry(algorithms=[head["alg"]], strict_check_header=False)
    return jws.serialize_compact(head, payload, key, registry=registry).encode()


def part(said):
    """A part of a token."""
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def now():
    """Seconds since 1970."""
    return int(time.time())


def confused(algorithm):
    """A token signed with the text of a public key as if it were a secret."""
    said = part({"alg": algorithm, "kid": "rsa"}) + b"." + part(claims())
    public = SIGNED["RS256"].as_pem(private=False)
    return said + b"." + part(hmac.digest(public, said, {"HS256": "sha256", "HS512": "sha512"}[algorithm]))


def by_hand(head, key):
    """A token with a good signature by RS256 that a library does not make."""
    said = part(head) + b"." + part(claims())
    return said + b"." + part(key.private_key.sign(said, padding.PKCS1v15(), hashes.SHA256()))


OTHER = RSAKey.generate_key(2048, {"kid": "rsa"})

ATTACKS = {
    "alg none": lambda: part({"alg": "none"}) + b"." + part(claims()) + b".",
    "alg None": lambda: part({"alg": "None", "kid": "rsa"}) + b"." + part(claims()) + b".",
    "no signature": lambda: token().rpartition(b".")[0] + b".",
    "HS256 with the public key": lambda: confused("HS256"),
    "HS512 with the public key": lambda: confused("HS512"),
    "another key under a known kid": lambda: token(key=OTHER),
    "a kid that is not there": lambda: token(key=RSAKey.generate_key(2048, {"kid": "mine"})),
    "the kid of a key of another kind": lambda: token(kid="ec"),
    "the kid of another key of the same kind": lambda: by_hand(
        {"alg": "RS256", "kid": "pss"}, SIGNED["RS256"]
    ),
    "a key for PS256 alone, used for RS256": lambda: by_hand({"alg": "RS256", "kid": "pss"}, SIGNED["PS256"]),
    "no kid, and two keys that fit": lambda: token(algorithm="PS256", kid=None),
    "its own key in the head": lambda: token(key=OTHER, jwk=OTHER.as_dict(private=False), kid=None),
    "an address for keys in the head": lambda: token(key=OTHER, jku="http://127.0.0.1:1/jwks.json"),
    "RS512": lambda: signed({"alg": "RS512", "kid": "rsa"}, claims(), SIGNED["RS256"]),
    "crit": lambda: by_hand({"alg": "RS256", "kid": "rsa", "crit": ["x"]}, SIGNED["RS256"]),
    "a payload that was not encoded": lambda: (
        part({"alg": "RS256", "b64": False, "crit": ["b64"]}) + b".{}.x"
    ),
    "expired": lambda: token(claims(exp=now() - LEEWAY - 1)),
    "no end": lambda: token(claims(exp=None)),
    "an end that is a text": lambda: token(claims(exp=str(now() + 600))),
    "an end that is true": lambda: token(claims(exp=True)),
    "an end beyond all numbers": lambda: token(json.dumps(claims(exp=17)).replace("17", "1e999").encode()),
    "not yet": lambda: token(claims(nbf=now() + LEEWAY + 5)),
    "another audience": lambda: token(claims(aud="others")),
    "no audience": lambda: token(claims(aud=None)),
    "an audience within a text": lambda: token(claims(aud=f"{AUDIENCE} others")),
    "another issuer": lambda: token(claims(iss=ISSUER + "/")),
    "no issuer": lambda: token(claims(iss=None)),
    "issuers in a list": lambda: token(claims(iss=[ISSUER])),
    "huge": lambda: token(claims(sub="x" * MOST_BYTES)),
    "deep": lambda: token(b'{"a":' * 3000 + b"1" + b"}" * 3000),
    "a claim twice": lambda: token(json.dumps(claims()).replace("{", '{"aud": "others", ', 1).encode()),
    "a header twice": lambda: (
        part(b'{"alg":"none","alg":"RS256","kid":"rsa"}') + b"." + part(claims()) + b".x"
    ),
    "claims in a list": lambda: token(json.dumps([claims()]).encode()),
    "not JSON": lambda: token(b"\xff"),
    "changed claims": lambda: b".".join((token().split(b".")[0], part(claims(sub="admin")), b"x")),
    "five parts": lambda: token() + b".x.x",
    "blanks within": lambda: token().replace(b".", b". "),
}
