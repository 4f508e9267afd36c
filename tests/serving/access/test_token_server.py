"""A server that takes tokens: over HTTP and gRPC, with keys that change, and from a real provider."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from types import SimpleNamespace
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc.jwk import ECKey

from serving.running import free_port
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.access.made_tokens import (
    ATTACKS,
    AUDIENCE,
    ISSUER,
    SCOPE,
    claims,
    published,
    token,
)
from tests.serving.front.rpc.grpc_calls import Caller, one_row
from tests.serving.processes import until


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
