"""Tokens: what is verified, and each known way to have one taken that should not be."""

from __future__ import annotations

import base64
import hmac
import json
import subprocess
import sys
import time
import urllib.request
import warnings
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from serving.access.identities import FEEDBACK, METRICS, PAGE, PREDICT
from serving.access.tokens import ALGORITHMS, LEEWAY, MOST_BYTES, MOST_KEPT, Tokens, read_jwks, scopes_asked
from serving.errors import SettingsError
from serving.running import free_port
from serving.settings import TokenRules
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import Caller, one_row
from tests.serving.processes import until

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


def now():
    """Seconds since 1970."""
    return int(time.time())


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


@pytest.fixture(scope="module")
def served(start, line, tmp_path_factory):
    """A server that takes tokens, over HTTP and gRPC, with an audit."""
    folder = tmp_path_factory.mktemp("tokens")
    jwks, audit, port = folder / "jwks.json", folder / "audit", free_port()
    jwks.write_text(published())
    options = ["--model", f"line={line}", "--jwks", str(jwks), "--issuer", ISSUER, "--audience", AUDIENCE]
    options += ["--scope", SCOPE, "--audit-log", str(audit), "--grpc-port", str(port)]
    with start(*options) as running:
        yield SimpleNamespace(server=running, jwks=jwks, audit=audit, port=port)


def test_a_server_takes_tokens_and_says_what_is_wrong_with_others(served):
    """401 with the reason and the scheme; 403 for a scope; the audit has the bearer's name, and no token."""

    def ask(sent):
        headers = {"Authorization": f"Bearer {sent.decode('latin-1')}"}
        return served.server.call("/models/line/predict", {"x": 3}, headers=headers)

    assert ask(token())[0] == 200
    status, answer, headers = ask(ATTACKS["expired"]())
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert answer["message"].startswith("the token has expired: send a token of this server's issuer")
    assert served.server.call("/models/line/predict", {"x": 3})[0] == 401
    assert ask(token(claims(scope="openid")))[0] == 403
    for how, attack in ATTACKS.items():
        if how not in ("blanks within",):  # which is no header
            assert ask(attack())[0] == 401, how
    until(lambda: len(served.audit.read_text().splitlines()) >= len(ATTACKS) + 2)
    said = served.audit.read_text()
    assert '"token": "web"' in said
    assert "eyJ" not in said
    recorded(
        "security",
        f"{len(ATTACKS)} tokens: alg none, HS256 with the public key, another key under a known kid, a key of its own, "
        "expired, not yet valid, for another audience or issuer, a claim twice, 8 kB, changed",
        "401 with the reason; RS256, PS256, ES256 and EdDSA alone, with the keys of `--jwks` alone; asks nobody",
        "a line in the audit",
    )


def test_over_grpc_the_same_tokens_are_taken(served):
    """As metadata."""
    with Caller(served.port) as caller:
        found = [
            caller.infer(one_row(), metadata=(("authorization", f"Bearer {sent.decode()}"),))[0]
            for sent in (token(), ATTACKS["expired"](), token(claims(scope="openid")), ATTACKS["alg none"]())
        ]
    assert found == ["OK", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNAUTHENTICATED"]


def test_keys_that_change_are_read_without_a_restart(served):
    """A new key is taken, the old one's tokens end; a broken file keeps what was there, and /status says so."""
    new = ECKey.generate_key("P-256", {"kid": "new"})
    old, fresh = token(), token(algorithm="ES256", key=new)

    def status(sent):
        headers = {"Authorization": f"Bearer {sent.decode()}"}
        return served.server.call("/models/line/predict", {"x": 3}, headers=headers)[0]

    def state(sent):
        headers = {"Authorization": f"Bearer {sent.decode()}"}
        return served.server.call("/status", headers=headers)[1]["files"]["--jwks"]["state"]

    try:
        assert (status(old), status(fresh)) == (200, 401)
        served.jwks.write_text(published(new))
        until(lambda: status(fresh) == 200, seconds=20)
        assert status(old) == 401
        served.jwks.write_text("{")
        until(lambda: state(fresh) == "OLD_ONE_KEPT", seconds=20)
        assert (status(old), status(fresh)) == (401, 200)
    finally:
        served.jwks.write_text(published())
        until(lambda: status(old) == 200, seconds=20)


def test_a_server_without_tokens_imports_no_cryptography(line):
    """Its worker takes no more memory than before: 15 MB, and a quarter of a second."""
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, str(line / "scorer")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr


PLAIN = """
import sys
import serving.worker.__main__
from serving.front import App, Backend
from serving.runtimes import load
from serving.settings import Model, Settings
settings = Settings((Model(sys.argv[1]),))
App(Backend([load(settings.models[0], settings)], settings))
print(sorted({"joserfc", "cryptography"} & set(sys.modules)))
"""

PROVIDER = """
import json, sys, urllib.request
from oidc_provider_mock import run_server_in_thread
with run_server_in_thread() as server:
    at = f"http://localhost:{server.server_port}"
    found = json.load(urllib.request.urlopen(at + "/.well-known/openid-configuration"))
    print(json.dumps(found), flush=True)
    sys.stdin.read()
"""


@pytest.mark.soak
def test_tokens_of_a_real_provider_are_taken(start, line, tmp_path, environment_of):
    """Signed in as OpenID Connect says; the file is what `curl` gets from the provider's jwks_uri."""
    python = environment_of("oidc-provider-mock==0.3.4") / "python"
    provider = subprocess.Popen(
        [python, "-c", PROVIDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = json.loads(provider.stdout.readline())
        jwks = tmp_path / "jwks.json"
        jwks.write_bytes(urllib.request.urlopen(said["jwks_uri"], timeout=20).read())
        mine, others = (_signed_in(said, client) for client in ("slipway", "another"))
        options = ["--issuer", said["issuer"], "--audience", "slipway"]
        with start("--model", str(line), "--jwks", str(jwks), *options) as served:
            found = [
                served.call("/predict", {"x": 3}, headers={"Authorization": f"Bearer {each}"})
                for each in (mine, others)
            ]
        assert [status for status, _, _ in found] == [200, 401]
        assert "another audience" in found[1][1]["message"]
    finally:
        provider.communicate(timeout=20)


def _signed_in(provider, client):
    """The token of a user who signs in to a client."""
    back = "http://localhost/back"
    asked = {
        "client_id": client,
        "redirect_uri": back,
        "response_type": "code",
        "scope": "openid",
        "state": "x",
    }
    address = f"{provider['authorization_endpoint']}?{urlencode(asked)}"
    opener = urllib.request.build_opener(_Stays)
    with opener.open(address, urlencode({"sub": "web@example.com"}).encode(), timeout=20) as answer:
        (code,) = parse_qs(urlsplit(answer.headers["Location"]).query)["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": back, "client_id": client}
    form["client_secret"] = "any"
    with urllib.request.urlopen(provider["token_endpoint"], urlencode(form).encode(), timeout=20) as answer:
        return json.load(answer)["id_token"]


class _Stays(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the code is in its address."""

    def http_error_302(self, request, answer, code, said, headers):
        return answer


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
