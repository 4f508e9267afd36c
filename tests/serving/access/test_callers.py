"""Callers: what a line of the key file lets its key do, and how often."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from serving.access import Access, Watched
from serving.access.buckets import SLOTS, Buckets
from serving.access.identities import FEEDBACK, METRICS, PAGE, PREDICT, SCOPES, RateLimit
from serving.errors import NotAllowed, NotAuthorized, SettingsError, TooOften
from serving.running import free_port
from serving.settings import Settings
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import Caller, one_row
from tests.serving.processes import until


def key_of(name: str) -> str:
    """A key."""
    return f"a key of some length for {name}"


def hash_of(name: str) -> str:
    """Its hash."""
    return hashlib.sha256(key_of(name).encode()).hexdigest()


def access(folder, *lines: str) -> Access:
    """The rules of a server with these lines in its key file."""
    file = folder / "keys"
    file.write_text("\n".join(lines) + "\n")
    return Access(Settings((), key_file=str(file)))


def may(rules: Access, name: str) -> set[str]:
    """What a key is let in for."""
    who = rules.identify({b"x-api-key": key_of(name).encode()})
    found = set()
    for scope in SCOPES:
        try:
            rules.allow(who, scope)
        except NotAuthorized:
            continue
        found.add(scope)
    return found


@pytest.mark.parametrize(
    ("after", "name", "scopes"),
    [
        ("", "line 1", {PREDICT, METRICS, PAGE}),
        ("  -", "line 1", {PREDICT, METRICS, PAGE}),
        ("  my key.txt", "line 1", {PREDICT, METRICS, PAGE}),
        (" web", "web", {PREDICT, METRICS, PAGE}),
        (" web predict", "web", {PREDICT}),
        ("\tweb\tpredict,page\t10/s  # since May", "web", {PREDICT, PAGE}),
        ("   web   predict   10/s", "web", {PREDICT}),
        (" prometheus metrics", "prometheus", {METRICS}),
        (" labels feedback", "labels", {FEEDBACK}),
        (" team@example.com PREDICT 600/m", "team@example.com", {PREDICT}),
    ],
)
def test_a_line_says_what_its_key_may_do(tmp_path, after, name, scopes):
    """A hash alone, as files had it, may do all but send labels."""
    rules = access(tmp_path, hash_of("a") + after)
    assert may(rules, "a") == scopes
    assert rules.identify({b"x-api-key": key_of("a").encode()}).name == name


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([f"{hash_of('a')} web predct"], "line 1: is no SHA-256 hash in hex, alone or with a name, scopes"),
        ([f"{hash_of('a')} web predict 0/s"], "line 1: is no SHA-256 hash"),
        ([f"{hash_of('a')} web predict 10/y"], "line 1: is no SHA-256 hash"),
        ([f"{hash_of('a')} web predict,feedback"], "line 1: may send labels and something else"),
        ([f"{hash_of('a')} web predict", f"{hash_of('a')} web"], "line 2: is a key that stands above"),
        ([f"{hash_of('a')} web 5/s", f"{hash_of('a')} web"], "line 2: is a key that stands above"),
        ([f"{hash_of('a')} metrics 10/m"], "line 1: has rights that are not understood"),
        ([f"{hash_of('a')} PREDICT"], "line 1: has rights that are not understood"),
        ([f"{hash_of('a')} 10/m"], "line 1: has rights that are not understood"),
        ([f"{hash_of('a')}  batch predict 10/min"], "line 1: has rights that are not understood"),
        ([f"{hash_of('a')}  predict,page"], "line 1: has rights that are not understood"),
        ([f"{hash_of('a')}  web predct 10/s"], "line 1: has rights that are not understood"),
        ([hashlib.sha256(b"long-enough-secret").hexdigest() + " long-enough-secret"], "holds the key itself"),
    ],
)
def test_a_line_that_could_be_meant_otherwise_is_refused(tmp_path, lines, says):
    """A word that is not understood must not become a key that may do everything; the line is never quoted."""
    with pytest.raises(SettingsError) as refused:
        access(tmp_path, *lines)
    assert says in str(refused.value)
    assert "long-enough-secret" not in str(refused.value)


def test_rights_behind_two_blanks_that_cannot_be_read_are_warned_of(tmp_path, caplog):
    """Sha256sum writes two blanks and a file's name, which may have blanks: such files stay valid."""
    with caplog.at_level(logging.WARNING):
        access(tmp_path, f"{hash_of('a')}  web predct")
    assert "without scopes" in caplog.text


@pytest.mark.parametrize("first", ["x-api-key", "authorization"])
def test_of_two_right_keys_the_one_counts_that_may_do_what_is_asked(tmp_path, first):
    """A gateway adds its own: a key for labels beside one for rows, in either header, each for its own."""
    rules = access(tmp_path, f"{hash_of('rows')} rows predict", f"{hash_of('labels')} labels feedback")
    one, other = ("rows", "labels") if first == "x-api-key" else ("labels", "rows")
    headers = {b"x-api-key": key_of(one).encode(), b"authorization": f"Bearer {key_of(other)}".encode()}
    for scope, name in ((PREDICT, "rows"), (FEEDBACK, "labels")):
        who = rules.identify(headers, (), (scope,))
        rules.allow(who, scope)
        assert who.name == name


def test_over_http_either_of_two_right_keys_is_found(served):
    """For pages as for rows."""
    server, _ = served
    for one, other in (("web", "prometheus"), ("prometheus", "web")):
        headers = {"X-API-Key": key_of(one), "Authorization": f"Bearer {key_of(other)}"}
        assert server.call("/models/line/predict", {"x": 3}, headers=headers)[0] == 200
        for path in ("/metrics", "/status", "/v1/models", "/v2/models/line"):
            assert server.call(path, headers=headers)[0] == 200, path


def test_a_scope_that_is_lacking_is_named(tmp_path):
    """403, not 401: another key is needed, not the same one again."""
    rules = access(tmp_path, f"{hash_of('a')} web metrics")
    with pytest.raises(NotAllowed, match="it needs the scope predict") as refused:
        rules.allow(rules.identify({b"x-api-key": key_of("a").encode()}), PREDICT)
    assert refused.value.status == 403


@pytest.mark.parametrize("workers", [1, 3])
def test_a_limit_holds_on_average_and_lets_a_second_s_worth_come_at_once(tmp_path, workers):
    """The generic cell rate algorithm: a burst of what the limit says, then one for each interval."""
    bucket, limit = Buckets(str(tmp_path), workers), RateLimit(10, 1.0, hashlib.sha256(b"a").digest())
    taken = [now for step in range(5000) if bucket.take(limit, now := 100.0 + step / 1000) == 0]
    assert len([now for now in taken if now < 100.05]) == 10
    assert len(taken) == 10 + 49
    assert min(late - early for early, late in pairwise(taken[10:])) > 0.09


def test_workers_count_together(tmp_path):
    """A client's connections fall on workers as they like: half a limit each would refuse too early."""
    limit = RateLimit(10, 60.0, hashlib.sha256(b"a").digest())
    workers = [Buckets(str(tmp_path), 3) for _ in range(3)]
    assert sum(each.take(limit, 5.0) == 0 for each in workers * 10) == 10
    assert workers[0].take(limit, 5.0) == pytest.approx(6.0)


def test_without_a_shared_file_each_worker_counts_a_share(tmp_path):
    """All of them together let no more through than the limit."""
    limit = RateLimit(9, 60.0, hashlib.sha256(b"a").digest())
    workers = [Buckets(None, 3) for _ in range(3)]
    assert sum(each.take(limit, 5.0) == 0 for each in workers * 10) == 9


def test_callers_do_not_share_a_bucket(tmp_path):
    """Where their hashes point to the same slot, the second takes the next one."""
    bucket = Buckets(str(tmp_path), 1)
    first, second = (RateLimit(1, 60.0, (SLOTS * number + 7).to_bytes(8) + bytes(24)) for number in (1, 2))
    assert [bucket.take(each, 5.0) == 0 for each in (first, second, first, second)] == [
        True,
        True,
        False,
        False,
    ]


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path):
    """Whole seconds, at least one."""
    rules = access(tmp_path, f"{hash_of('a')} web predict 2/m", hash_of("b"))
    who = rules.identify({b"x-api-key": key_of("a").encode()})
    for _ in range(2):
        rules.allow(who, PREDICT)
    with pytest.raises(TooOften) as refused:
        rules.allow(who, PREDICT)
    assert refused.value.headers in [((b"retry-after", b"30"),), ((b"retry-after", b"29"),)]
    rules.allow(rules.identify({b"x-api-key": key_of("b").encode()}), PREDICT)


@pytest.fixture(scope="module")
def served(start, line, tmp_path_factory):
    """A server of two workers with keys of all kinds, over HTTP and gRPC."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(
        f"{hash_of('all')}\n{hash_of('web')} web predict\n{hash_of('prometheus')} prometheus metrics\n"
        f"{hash_of('pages')} pages page\n{hash_of('slow')} slow predict 3/h\n{hash_of('rpc')} rpc predict 3/h\n"
    )
    port = free_port()
    options = ["--model", f"line={line}", "--api-key-file", str(file), "--metrics-need-key", "--workers", "2"]
    with start(*options, "--grpc-port", str(port)) as running:
        yield running, port


WHO_READS = {
    "/metrics": {"all", "prometheus"},
    "/status": {"all", "prometheus", "pages"},
    "/models/line/openapi.json": {"all", "web", "pages"},
    "/v1/models": {"all", "web", "pages"},
    "/v2/models/line": {"all", "web", "pages"},
}


def test_each_scope_opens_its_own_pages(served):
    """Prometheus' key scores nothing, a client's reads no metrics."""
    server, _ = served
    for path, readers in WHO_READS.items():
        for name in ("all", "web", "prometheus", "pages"):
            status, _, headers = server.call(path, headers={"X-API-Key": key_of(name)})
            assert status == (200 if name in readers else 403), (path, name)
            assert status == 200 or "X-Model-Version" not in headers
        assert server.call(path)[0] == 401
    for name, status in (("all", 200), ("web", 200), ("prometheus", 403), ("pages", 403)):
        asked = server.call("/models/line/predict", {"x": 3}, headers={"X-API-Key": key_of(name)})
        assert asked[0] == status
    assert server.call("/readyz")[0] == 200


def test_over_grpc_the_same_scopes_and_limits_hold(served):
    """PERMISSION_DENIED for a scope, RESOURCE_EXHAUSTED for a limit, and no message is read for either."""
    _, port = served
    with Caller(port) as caller:
        asked = {
            name: caller.infer(one_row(), metadata=(("x-api-key", key_of(name)),))[0]
            for name in ("web", "prometheus", "nobody")
        }
        codes = [caller.infer(one_row(), metadata=(("x-api-key", key_of("rpc")),)) for _ in range(4)]
        metadata = caller.call("ServerMetadata", b"", metadata=(("x-api-key", key_of("pages")),))
    assert asked == {"web": "OK", "prometheus": "PERMISSION_DENIED", "nobody": "UNAUTHENTICATED"}
    assert [code for code, _ in codes] == ["OK", "OK", "OK", "RESOURCE_EXHAUSTED"]
    assert "more often than it may" in codes[-1][1]
    assert metadata[0] == "OK"


def test_a_key_with_a_limit_is_refused_beyond_it_by_all_workers_together(served):
    """Thirty connections at once, to two workers: three answers, and each refusal says when to come again."""
    server, _ = served
    found = []

    def ask():
        found.append(server.call("/models/line/predict", {"x": 3}, headers={"X-API-Key": key_of("slow")}))

    asking = [threading.Thread(target=ask) for _ in range(30)]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    statuses = sorted(status for status, _, _ in found)
    assert statuses == [200] * 3 + [429] * 27
    waits = {int(headers["Retry-After"]) for status, _, headers in found if status == 429}
    assert max(waits) <= 1200
    assert min(waits) > 1100
    assert server.call("/models/line/predict", {"x": 3}, headers={"X-API-Key": key_of("web")})[0] == 200
    recorded(
        "security",
        "a key with a limit of 3 requests an hour asks 30 times at once, two workers",
        "429 with Retry-After, RESOURCE_EXHAUSTED over gRPC; other keys are answered",
        "three answers",
    )


def test_a_key_file_that_changes_is_read_again(start, line, tmp_path):
    """As Kubernetes swaps a Secret: the folder behind `..data` is another one. A broken file changes nothing."""
    for number, names in enumerate((("first",), ("first", "second"), ())):
        folder = tmp_path / f"..{number}"
        folder.mkdir()
        (folder / "keys").write_text("\n".join(hash_of(name) for name in names) + "\n")
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "keys").symlink_to("..data/keys")

    def swap(number):
        (tmp_path / "..new").symlink_to(f"..{number}")
        (tmp_path / "..new").rename(tmp_path / "..data")

    with start("--model", str(line), "--api-key-file", str(tmp_path / "keys")) as served:

        def status(name):
            return served.call("/predict", {"x": 3}, headers={"X-API-Key": key_of(name)})[0]

        def said():
            return served.call("/status", headers={"X-API-Key": key_of("first")})[1]["files"][
                "--api-key-file"
            ]

        assert (status("first"), status("second"), said()["state"]) == (200, 401, "READ")
        swap(1)
        until(lambda: status("second") == 200, seconds=20)
        swap(2)
        until(lambda: said()["state"] == "OLD_ONE_KEPT", seconds=20)
        assert (status("first"), status("second")) == (200, 200)
        swap(0)
        until(lambda: status("second") == 401, seconds=20)
        assert said()["state"] == "READ"
    recorded(
        "reliability",
        "the key file swapped as Kubernetes does, for a good one and for one without a hash",
        "took the good one within two seconds; kept the old keys beside the broken one, and said so in `/status`",
        "nothing",
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca goes with --tls-cert and --tls-key"),
        (["--tls-client-san", "web"], "--tls-client-san goes with --tls-client-ca"),
        (["--issuer", "me"], "--issuer goes with --jwks FILE"),
        (["--jwks", "keys.json", "--issuer", "me"], "--jwks needs --issuer and --audience"),
        (["--audit-accepted"], "--audit-accepted goes with --audit-log"),
        (["--audit-log", "/nowhere/audit"], "--audit-log /nowhere/audit: cannot be written: No such file"),
        (["--host", "0.0.0.0"], "pass --api-key-file, --jwks or --tls-client-ca, or --no-auth"),
        (["--jwks", "/nowhere", "--issuer", "a", "--audience", "b"], "--jwks /nowhere: cannot be read"),
        (["--capture", "/tmp/x", "--jwks", "k", "--issuer", "a", "--audience", "b"], "--jwks with --capture"),
    ],
)
def test_options_that_do_not_go_together_are_named(line, words, says):
    """One line, and exit code 2."""
    command = [sys.executable, "-m", "serving", "--model", str(line), "--port", "0", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr


def test_a_key_for_labels_may_stand_beside_the_others(start, line, tmp_path):
    """One file with scopes does what two files did; who scores still sends no labels."""
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('web')} web predict\n{hash_of('labels')} labels feedback\n")
    options = ["--model", str(line), "--api-key-file", str(keys), "--capture", str(tmp_path / "kept")]
    labels = json.dumps([{"id": "019ac5b0-1c00-7abc-9234-56789a000007", "actual": 1}]).encode()
    with start(*options) as served:
        for name, scores, tells in (("web", 200, 401), ("labels", 401, 202)):
            headers = {"X-API-Key": key_of(name), "Content-Type": "application/json"}
            assert served.call("/predict", {"x": 3}, headers=headers)[0] == scores
            assert served.call("/feedback", labels, headers=headers)[0] == tells


def test_a_key_that_is_taken_away_while_a_worker_starts_is_taken_away(tmp_path):
    """Between the reading of the files and the first look at them: that look reads them whatever they are."""
    rules = access(tmp_path, f"{hash_of('a')} web", f"{hash_of('b')} other")
    (tmp_path / "keys").write_text(f"{hash_of('b')} other\n")
    for each in rules.watched():
        each.look()
    assert (may(rules, "a"), may(rules, "b")) == (set(), {PREDICT, METRICS, PAGE})


def test_a_file_that_may_be_read_only_now_is_read(tmp_path):
    """Its content and its time are what they were: the mode is what changed."""
    file, reads = tmp_path / "keys", []
    file.write_text("keys")
    watched = Watched("--api-key-file", [str(file)], lambda: reads.append(file.stat().st_mode & 0o777))
    watched.look()
    watched.look()
    file.chmod(0o640)
    watched.look()
    assert (reads[0], reads[1:]) == (reads[0], [0o640])


def test_a_limit_that_is_raised_counts_at_once(tmp_path):
    """What was spent under the lower one does not hold the caller off for a day."""
    bucket, tag = Buckets(str(tmp_path), 1), hashlib.sha256(b"a").digest()
    low, high = RateLimit(2, 86_400.0, tag), RateLimit(10, 1.0, tag)
    assert [bucket.take(low, 5.0) == 0 for _ in range(3)] == [True, True, False]
    assert bucket.take(high, 5.0) == pytest.approx(0.1)
    assert bucket.take(high, 5.2) == 0
