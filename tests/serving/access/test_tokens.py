"""Tokens: what is verified, and each known way to have one taken that should not be."""

from __future__ import annotations

import json
import time
import warnings

import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from serving.access.identities import FEEDBACK, METRICS, PAGE, PREDICT
from serving.access.tokens import ALGORITHMS, LEEWAY, MOST_KEPT, Tokens, read_jwks, scopes_asked
from serving.errors import SettingsError
from serving.settings import TokenRules
from tests.serving.access.made_tokens import (
    ATTACKS,
    AUDIENCE,
    ISSUER,
    SCOPE,
    SIGNED,
    claims,
    now,
    published,
    token,
)


@pytest.fixture
def tokens(tmp_path):
    """What a worker verifies with."""
    file = tmp_path / "jwks.json"
    file.write_text(published())
    return Tokens(TokenRules(str(file), ISSUER, AUDIENCE, (SCOPE, f"{FEEDBACK}=slipway:label")))


def held(tokens, sent):
    """Who a token's bearer is."""
    return tokens.holder(sent, sent)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_is_verified(tokens, algorithm):
    """With the key of its name; the bearer is called by `sub`, and may score with the scope."""
    found = held(tokens, token(algorithm=algorithm))
    assert (found.kind, found.name, found.doubt) == ("token", "web", "")
    assert found.scopes == {PREDICT, METRICS, PAGE}


GOOD = {
    "an audience of several": lambda: token(claims(aud=["others", AUDIENCE])),
    "expired within the leeway": lambda: token(claims(exp=now() - LEEWAY + 10)),
    "valid within the leeway": lambda: token(claims(nbf=now() + LEEWAY - 10)),
    "without nbf": lambda: token(claims(nbf=None)),
    "scp, as Azure and Okta write it": lambda: token(claims(scope=None, scp=[SCOPE])),
    "no kid, and one key that fits": lambda: token(algorithm="ES256", kid=None),
    "headers of others": lambda: token(nonce="x", typ="at+jwt"),
}


@pytest.mark.parametrize("how", GOOD)
def test_what_issuers_write_in_other_ways_is_taken(tokens, how):
    """Honest tokens of other makers."""
    assert PREDICT in held(tokens, GOOD[how]()).scopes


@pytest.mark.parametrize("how", ATTACKS)
def test_no_attack_gets_anything(tokens, how):
    """Each is nobody, with a reason that quotes nothing of it, and nothing of it is remembered."""
    sent = ATTACKS[how]()
    found = held(tokens, sent)
    assert (found.kind, found.name, found.scopes) == ("", "", frozenset())
    assert found.doubt.startswith("the token")
    assert "admin" not in found.doubt
    assert held(tokens, sent).scopes == frozenset()


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        (None, set()),
        ("slipway", set()),
        ("slipway:predict-not", set()),
        (SCOPE.upper(), set()),
        (SCOPE, {PREDICT, METRICS, PAGE}),
        ("slipway:label", {FEEDBACK}),
        (f"{SCOPE} slipway:label", {PREDICT, METRICS, PAGE, FEEDBACK}),
        (17, set()),
        ({"a": 1}, set()),
    ],
)
def test_a_token_may_do_what_its_scopes_say(tokens, scope, may):
    """Whole words; labels need a scope of their own, which the issuer grants."""
    found = held(tokens, token(claims(scope=scope)))
    assert (found.kind, set(found.scopes)) == ("token", may)


def test_without_a_scope_asked_for_each_token_for_this_server_scores(tmp_path):
    """And none sends labels."""
    assert scopes_asked(()) == {PREDICT: "", METRICS: "", PAGE: ""}
    assert scopes_asked(("a", "metrics=b")) == {PREDICT: "a", METRICS: "b", PAGE: "a"}
    for wrong in (("a", "b"), ("a b",), ("",), ("metrics=",)):
        with pytest.raises(SettingsError, match="--scope"):
            scopes_asked(wrong)


def test_a_verified_token_is_remembered_until_it_ends(tokens, monkeypatch):
    """By its digest; after `exp` and the leeway it is read anew, and refused."""
    sent, began = token(claims(exp=now() + 5)), time.time()
    first = held(tokens, sent)
    monkeypatch.setattr("serving.access.tokens._check_signature", lambda *_: pytest.fail("verified again"))
    assert held(tokens, sent) is first
    monkeypatch.setattr("serving.access.tokens._check_signature", lambda *_: None)
    monkeypatch.setattr(time, "time", lambda: began + 5 + LEEWAY + 2)
    assert held(tokens, sent).doubt == "the token has expired"


def test_what_is_remembered_is_bounded(tokens, monkeypatch):
    """Who gets a new token for each request fills no memory."""
    monkeypatch.setattr("serving.access.tokens._check_signature", lambda *_: None)
    sent = token()
    for number in range(MOST_KEPT + 5):
        tokens.holder(sent, number.to_bytes(32))
    assert len(tokens._kept) == 5


def short_key():
    """A key that is broken in months, which joserfc warns of."""
    with warnings.catch_warnings(action="ignore"):
        return RSAKey.generate_key(1024)


SECRET = json.dumps({"keys": [SIGNED["ES256"].as_dict(private=True)]})


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "is no set of keys"),
        ("[]", "is no set of keys"),
        ('{"keys": [1]}', "is no set of keys"),
        ("[" * 100_000, "is no set of keys"),
        ('{"keys": []}', "holds no key for RS256"),
        ('{"keys": [], "keys": []}', "is no set of keys"),
        (SECRET, "holds a secret key: publish the public ones alone"),
        (json.dumps({"keys": [OctKey.generate_key(256).as_dict(private=True)]}), "holds a secret key"),
        (published(short_key()), "fewer than 2048 bits"),
        (published(ECKey.generate_key("P-384")), "holds no key for"),
        ('{"keys": [{"kty": "RSA", "n": "x", "e": "AQAB"}]}', "cannot be read|fewer than"),
    ],
    ids=[
        "empty",
        "list",
        "number",
        "nested",
        "none",
        "twice",
        "private",
        "symmetric",
        "short",
        "curve",
        "no number",
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_a_file_of_keys_that_cannot_be_used_is_refused(tmp_path, written, says):
    """With one line, which quotes nothing of it."""
    file = tmp_path / "jwks.json"
    file.write_text(written)
    with pytest.raises(SettingsError, match=says) as refused:
        Tokens(TokenRules(str(file), ISSUER, AUDIENCE))
    assert str(SIGNED["ES256"].as_dict(private=True)["d"]) not in str(refused.value)


def test_new_keys_forget_what_the_old_ones_verified(tokens, tmp_path):
    """A key that was taken away is taken away at once; a file that cannot be used keeps the old ones."""
    sent = token(algorithm="ES256")
    assert held(tokens, sent).kind == "token"
    (tmp_path / "jwks.json").write_text("{")
    with pytest.raises(SettingsError):
        tokens.load()
    assert held(tokens, sent).kind == "token"
    (tmp_path / "jwks.json").write_text(published(SIGNED["RS256"]))
    tokens.load()
    assert held(tokens, sent).doubt == "the token is signed with a key that is not known here"


def test_keys_of_kinds_that_nobody_here_reads_are_passed_over(tmp_path):
    """An issuer that begins to publish another curve's key, or one of next year's, keeps its tokens (RFC 7517, 5)."""
    known = json.loads(published(SIGNED["ES256"]))["keys"]
    others = [
        {"kty": "EC", "crv": "brainpoolP256r1", "x": "a", "y": "b"},
        {"kty": "OKP", "crv": "Ed9"},
        {"kty": "AKP"},
    ]
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": others + known}))
    assert len(read_jwks(file)) == len(known)


@pytest.mark.parametrize("ends", [10**400, -(10**400), 1e300])
def test_a_time_that_no_clock_reaches_is_refused(tokens, ends):
    """JSON's numbers have no bound: a whole one beyond all floats was an error of ours."""
    assert held(tokens, token(claims(exp=ends))).doubt == "the token has a time that is none"
