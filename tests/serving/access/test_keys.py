"""Keys: what a key file may hold, in which headers a key may come, and what is said without one."""

from __future__ import annotations

import codecs
import hashlib
import logging
import subprocess

import pytest

from serving.access import Access
from serving.access.identities import FEEDBACK, PREDICT
from serving.access.keys import read_keys
from serving.errors import NoFeedbackKey, NotAuthorized, SettingsError
from serving.settings import Settings
from tests.recorded import recorded

KEY, OTHER = "a key of some length", "another key of some length"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


def access(folder, written: str | bytes = HASH) -> Access:
    """The rules of a server whose key file holds this."""
    file = folder / "keys"
    file.write_bytes(written if isinstance(written, bytes) else written.encode())
    return Access(Settings((), key_file=str(file)))


def takes(rules: Access, **headers: str) -> bool:
    """Whether a request with these headers is let in."""
    try:
        sent = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
        rules.allow(rules.identify(sent), PREDICT)
    except NotAuthorized:
        return False
    return True


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "bEaReR    ", "  Bearer  "])
def test_the_scheme_counts_in_any_case_and_with_more_blanks(tmp_path, scheme):
    """RFC 9110, 11.1: a scheme is case-insensitive, and one or more blanks follow it."""
    assert takes(access(tmp_path), authorization=f"{scheme}{KEY} ")
    assert not takes(access(tmp_path), authorization=f"{scheme}{OTHER}")


@pytest.mark.parametrize(
    "sent", ["", KEY, f"Basic {KEY}", f"Bearer{KEY}", "Bearer", "Bearer ", f"Token {KEY}"]
)
def test_a_key_without_its_scheme_or_under_another_is_none(tmp_path, sent):
    """A bare key in Authorization is no credential by RFC 9110, and proxies drop or log it."""
    assert not takes(access(tmp_path), authorization=sent)


def test_either_of_two_keys_may_be_the_right_one(tmp_path):
    """A gateway puts its own token in Authorization, the client's key is in X-API-Key; or the other way."""
    rules = access(tmp_path)
    assert takes(rules, x_api_key=KEY, authorization="Bearer of-the-gateway")
    assert takes(rules, x_api_key="of-the-gateway", authorization=f"Bearer {KEY}")
    assert takes(rules, x_api_key=KEY, authorization="Basic dXNlcjpwYXNz")
    assert not takes(rules, x_api_key=OTHER, authorization=f"Bearer {OTHER}")


LINES = {
    "sha256sum of a pipe": f"{HASH}  -\n",
    "sha256sum of a file": f"{HASH}  my key.txt\n",
    "sha256sum -b": f"{HASH} *key.txt\n",
    "sha256sum of an odd name": f"\\{HASH}  a\\nb\n",
    "sha256sum --tag": f"SHA256 (key.txt) = {HASH}\n",
    "openssl dgst": f"SHA2-256(stdin)= {HASH}\n",
    "upper case": f"{HASH.upper()}\r\n",
    "with a comment": f"# keys\n\n  {HASH}  # team\n",
    "comment close by": f"{HASH} # team",
    "two": f"{hashlib.sha256(OTHER.encode()).hexdigest()}\n{HASH}\n",
    "byte-order mark": codecs.BOM_UTF8 + HASH.encode() + b"\r\n",
    "PowerShell's UTF-16": codecs.BOM_UTF16_LE + f"{HASH}\r\n".encode("utf-16-le"),
    "big-endian": codecs.BOM_UTF16_BE + f"# é\n{HASH}\r\n".encode("utf-16-be"),
}


@pytest.mark.parametrize("how", LINES)
def test_a_hash_is_read_as_tools_write_it(tmp_path, how):
    """Who follows the page's command, or another tool's, need not cut its line."""
    assert takes(access(tmp_path, LINES[how]), x_api_key=KEY)


def test_what_sha256sum_itself_writes_is_read(tmp_path):
    """The real program, from a pipe."""
    done = subprocess.run(["sha256sum"], input=KEY.encode(), capture_output=True, check=True)
    assert takes(access(tmp_path, done.stdout), x_api_key=KEY)


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("# team\nsecret-word\n", "line 2: is no SHA-256 hash"),
        (f"{HASH}\nAPI_KEY=secret-word\n", "line 2: is no SHA-256 hash"),
        (f"{hashlib.sha512(b'secret-word').hexdigest()}\n", "line 1: is no SHA-256 hash"),
        (f"{HASH[:-1]}\n", "line 1: is no SHA-256 hash"),
        (f"{HASH}  {HASH}\n", "line 1: is no SHA-256 hash"),
        (f"{HASH} {HASH}\n", "line 1: is no SHA-256 hash"),
        ("# nothing yet\n\n", "holds no hash"),
        ("", "holds no hash"),
        (hashlib.sha256(b"").hexdigest(), "line 1: is the hash of an empty key"),
        (hashlib.sha256(b"\n").hexdigest(), "line 1: is the hash of an empty key"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"\x80abc", "cannot be read"),
    ],
)
def test_what_is_no_hash_gets_one_line_with_its_place(tmp_path, written, says):
    """The line may be the key itself, so it is never quoted; an unset variable hashes to a key that all have."""
    file = tmp_path / "keys"
    file.write_bytes(written if isinstance(written, bytes) else written.encode())
    with pytest.raises(SettingsError) as refused:
        read_keys(file)
    assert says in str(refused.value)
    assert "secret-word" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "sha256sum" in str(refused.value) or "cannot be read" in says


def test_a_short_key_in_use_is_warned_of_once(tmp_path, caplog):
    """A hash of two letters is no secret. Only its use shows how long a key is."""
    rules = access(tmp_path, hashlib.sha256(b"k1").hexdigest() + "\n" + HASH)
    with caplog.at_level(logging.WARNING):
        assert takes(rules, x_api_key=KEY)
        assert not caplog.records
        assert takes(rules, x_api_key="k1")
        assert takes(rules, x_api_key="k1")
    (warning,) = caplog.records
    assert "fewer than 16 characters" in warning.getMessage()
    assert "k1" not in warning.getMessage()


@pytest.fixture(scope="module")
def locked(start, line, tmp_path_factory):
    """A server with a key, whose metrics ask for it too."""
    file = tmp_path_factory.mktemp("locked") / "keys"
    file.write_text(f"{HASH}  -\n")
    with start("--model", f"secret={line}", "--api-key-file", str(file), "--metrics-need-key") as served:
        yield served


PLACES = [
    *(
        "/nothing",
        "/v2/models/x",
        "/v2/models/x/ready",
        "/v2/models/x/infer",
        "/v2/models/secret/versions/9/ready",
    ),
    *("/v1/models", "/v1/models/x", "/v1/models/x:predict", "/metrics", "/models/secret/metrics", "/status"),
    *("/models/secret/openapi.json", "/v2", "/version", "/models/x/invocations", "/models/x/ping"),
]


@pytest.mark.parametrize("path", PLACES)
def test_nothing_names_a_model_to_those_without_a_key(locked, path):
    """404 said which models are served, and the metrics do."""
    for method, body in (("GET", None), ("POST", b"{}")):
        status, answer, headers = locked.call(path, body)
        assert status in (200, 401, 404, 405), (method, status)
        said = str(answer) + str(headers)
        assert "secret" not in said.replace("withheld", "")


def test_what_a_stranger_learns_is_recorded(locked):
    """The rows of docs/security.md."""
    for path in (
        "/v2/models/x/ready",
        "/v2/models/x/infer",
        "/v1/models/x",
        "/models/x/invocations",
        "/nothing",
    ):
        status, answer, _ = locked.call(path)
        assert (status, "secret" in str(answer)) == (404, False)
    assert [locked.call(path)[0] for path in ("/metrics", "/status", "/v1/models")] == [401] * 3
    recorded(
        "security",
        "asking for models, versions and metrics without a key",
        "404 and 401 name nothing; `--metrics-need-key` closes `/metrics` too",
        "whether a model of a name that it knows is ready, MLflow's version",
    )


def test_the_hash_of_an_empty_key_lets_nobody_in(tmp_path):
    """`printf %s "$UNSET" | sha256sum` made a file that let in whoever sent no key at all."""
    nothing = hashlib.sha256(b"").hexdigest()
    with pytest.raises(SettingsError, match="hash of an empty key"):
        access(tmp_path, f"{nothing}  -\n")
    assert not takes(access(tmp_path))
    recorded(
        "security",
        "no key, where the key file has the hash of an empty one (of a variable that was not set)",
        "the server does not start, one line",
        "nothing",
    )


def test_the_right_key_is_told_what_is_served(locked):
    """Who may score may know the names: it mends a wrong one."""
    right = {"X-API-Key": KEY}
    assert "secret is served" in locked.call("/v2/models/x/ready", headers=right)[1]["error"]
    assert locked.call("/v1/models", headers=right)[1] == {"models": ["secret"]}
    assert locked.call("/metrics", headers=right)[0] == 200
    assert locked.call("/metrics/", headers={"X-API-Key": OTHER})[0] == 401
    assert locked.call("/readyz")[0] == locked.call("/v2/models/secret/ready")[0] == 200


def test_a_refusal_for_want_of_a_key_says_no_version(locked):
    """Which version is served is no matter of strangers."""
    status, _, headers = locked.call("/models/secret/invocations", {"inputs": [1]})
    assert (status, headers["X-Model-Version"]) == (401, None)
    assert (
        locked.call(
            "/models/secret/invocations", {"inputs": [1]}, headers={"Authorization": f"bEARER {KEY}"}
        )[0]
        == 200
    )


OPEN = (
    "/ping",
    "/version",
    "/readyz",
    "/v2/models/secret/ready",
    "/v1/models/secret",
    "/models/secret/nothing",
)


def test_nobody_without_a_key_hears_a_version(locked):
    """Neither in a header nor in a body, whatever the answer; who has a key does."""
    prefixed = [path if path.count("/") > 1 else f"/models/secret{path}" for path in OPEN]
    for path in prefixed:
        for given in ({}, {"X-API-Key": OTHER}, {"Host": "elsewhere.example"}):
            _, said, headers = locked.call(path, headers=given)
            assert (headers["X-Model-Version"], "'version'" in str(said)) == (None, False), path
        assert locked.call(path, headers={"X-API-Key": KEY})[2]["X-Model-Version"], path
    known = locked.call("/v1/models/secret", headers={"X-API-Key": KEY})[1]["model_version_status"][0]
    assert known["version"]


def test_feedback_has_keys_of_its_own_that_are_read_again(tmp_path):
    """A file that is broken, or has a key that scores, changes nothing: a server is never without keys."""
    scoring, feedback = tmp_path / "scoring", tmp_path / "feedback"
    scoring.write_text(HASH)
    feedback.write_text(hashlib.sha256(OTHER.encode()).hexdigest())
    rules = Access(Settings((), key_file=str(scoring), feedback_key_file=str(feedback)))

    def tells(key):
        try:
            rules.allow(rules.identify({b"x-api-key": key.encode()}), FEEDBACK)
        except NoFeedbackKey:
            return False
        return True

    assert (tells(OTHER), tells(KEY), takes(rules, x_api_key=OTHER)) == (True, False, False)
    for wrong, says in ((HASH, "holds a key of --api-key-file"), ("none", "--feedback-key-file .* line 1")):
        feedback.write_text(wrong)
        with pytest.raises(SettingsError, match=says):
            rules.reload()
        assert (tells(OTHER), takes(rules, x_api_key=KEY)) == (True, True)
    third = "a third key of some length"
    feedback.write_text(hashlib.sha256(third.encode()).hexdigest())
    rules.reload()
    assert (tells(OTHER), tells(third)) == (False, True)
