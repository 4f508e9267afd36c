"""The audit: one line for each request that was refused, whatever happens to the file."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from select import PIPE_BUF

import pytest

from serving.access import identities
from serving.front.logs.audit import MOST_REFUSALS_A_SECOND, MOST_WAITING, Audit
from serving.running import free_port
from tests.recorded import recorded
from tests.serving.front.rpc.grpc_calls import Caller, one_row
from tests.serving.processes import until

KEY, SLOW = "a key that nobody else may read", "a key that may ask but seldom"
WHO = identities.Identity("key", "web")
WHAT = {"door": "http", "status": 401}


def lines_of(path):
    """What stands in the file."""
    return [json.loads(each) for each in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def keys(tmp_path):
    """A key file with names."""
    file = tmp_path / "keys"
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in (KEY, SLOW)]
    file.write_text(f"{hashes[0]} web predict\n{hashes[1]} slow predict 1/h\n")
    return file


def test_each_refusal_has_a_line_with_who_asked_and_none_has_a_secret(start, line, keys, tmp_path):
    """Over HTTP and gRPC; what was answered is there where it is asked for, probes never."""
    audit, port = tmp_path / "audit", free_port()
    options = ["--model", f"line={line}", "--api-key-file", str(keys), "--grpc-port", str(port)]
    with (
        start(*options, "--audit-log", str(audit), "--audit-accepted") as served,
        Caller(port) as caller,
    ):
        path, known = "/models/line/predict", {"X-API-Key": KEY}
        assert served.call(path, {"x": 3}, headers=known)[0] == 200
        assert served.call(path, {"x": "secret-cell"}, headers=known)[0] == 400
        assert (
            served.call(path + "?secret-query", {"x": 3}, headers={"X-API-Key": "secret-key-of-another"})[0]
            == 401
        )
        assert served.call("/status", headers={"Authorization": f"Bearer {KEY}"})[0] == 403
        assert [served.call(path, {"x": 3}, headers={"X-API-Key": SLOW})[0] for _ in range(2)] == [200, 429]
        assert served.call("/models/line/readyz")[0] == 200
        assert caller.infer(one_row(), metadata=(("x-api-key", KEY),))[0] == "OK"
        assert caller.infer(one_row())[0] == "UNAUTHENTICATED"
        until(lambda: len(lines_of(audit)) == 8)
    found = lines_of(audit)
    assert [(each["door"], each["status"], each.get("reason"), each.get("key")) for each in found] == [
        ("http", 200, None, "web"),
        ("http", 400, "UnusableValues", "web"),
        ("http", 401, "NotAuthorized", None),
        ("http", 403, "NotAllowed", "web"),
        ("http", 200, None, "slow"),
        ("http", 429, "TooOften", "slow"),
        ("grpc", 200, None, "web"),
        ("grpc", 401, "NotAuthorized", None),
    ]
    assert all(each["client"] for each in found)
    said = audit.read_text()
    assert not [secret for secret in ("secret", KEY, SLOW) if secret in said]
    assert audit.stat().st_mode & 0o777 == 0o600
    recorded(
        "security",
        "asking without a key, for another's pages, too often, and with rows that cannot be used, over HTTP and gRPC",
        "`--audit-log` has a line for each, with the key's name where it is known",
        "an entry; no body, query, key or token stands there",
    )


def test_a_file_that_was_moved_away_is_made_again(tmp_path):
    """As logrotate does, and as somebody does who deletes it."""
    path = tmp_path / "audit"
    audit = Audit(str(path), accepted=False)
    for number, act in enumerate((lambda: None, lambda: path.rename(tmp_path / "audit.1"), path.unlink)):
        act()
        audit.refused(WHO, WHAT | {"number": number}, reason="Test")
        until(lambda: lines_of(path))
        assert [each["number"] for each in lines_of(path)] == [number]
    audit.close()
    assert len(lines_of(tmp_path / "audit.1")) == 1


def test_a_full_disk_costs_lines_and_no_answers(start, line, keys, tmp_path):
    """A file system of 64 kB: the server goes on, says so once, and counts what is missing when there is room."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        audit, filler = small / "audit", small / "filler"
        with start("--model", str(line), "--api-key-file", str(keys), "--audit-log", str(audit)) as served:
            assert served.call("/predict", {"x": 3})[0] == 401
            until(lambda: len(lines_of(audit)) == 1)
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
                while True:
                    file.write(bytes(4096))
            for _ in range(40):
                assert served.call("/predict", {"x": 3})[0] == 401
            assert served.call("/predict", {"x": 3}, headers={"X-API-Key": KEY})[0] == 200
            time.sleep(0.5)
            filler.unlink()
            assert served.call("/predict", {"x": 3})[0] == 401
            until(lambda: "lost_before" in audit.read_text())
        *_, last = [each for each in audit.read_text().splitlines() if each]
        written = [
            each for each in audit.read_text().splitlines() if '"status": 401' in each and each[-1] == "}"
        ]
        assert json.loads(last)["lost_before"] + len(written) >= 42
    finally:
        subprocess.run(["umount", small], check=True)
    recorded(
        "reliability",
        "no space for the audit",
        "answered and refused as before; said so once in its log",
        "lines of the audit; the first that is written again says how many",
    )


def test_what_cannot_be_written_at_once_is_bounded(tmp_path):
    """A disk that hangs holds ten thousand lines of memory, and no request: here a pipe that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    audit = Audit(str(path), accepted=True)
    audit.accepted(WHO, WHAT)
    time.sleep(0.3)  # the writer waits for a reader
    began = time.monotonic()
    for _ in range(3 * MOST_WAITING):
        audit.accepted(WHO, WHAT)
    assert time.monotonic() - began < 2.0
    assert len(audit._lines) == MOST_WAITING
    began = time.monotonic()
    audit.close()
    assert time.monotonic() - began < 5.0
    with path.open("rb") as reader:  # lets the thread go
        assert reader.readline()


def test_a_flood_of_refusals_writes_a_thousand_lines_a_second(tmp_path):
    """Who sends nothing but what is refused fills no disk; how many there were is said."""
    path = tmp_path / "audit"
    audit = Audit(str(path), accepted=False)
    time.sleep(1.0 - time.monotonic() % 1.0 + 0.01)
    for _ in range(5 * MOST_REFUSALS_A_SECOND):
        audit.refused(WHO, WHAT, reason="Test")
    until(lambda: len(lines_of(path)) >= MOST_REFUSALS_A_SECOND)
    time.sleep(1.1)
    audit.refused(WHO, WHAT, reason="Test")
    audit.close()
    found = lines_of(path)
    assert len(found) == MOST_REFUSALS_A_SECOND + 1
    assert sum(each.get("lost_before", 0) for each in found) == 4 * MOST_REFUSALS_A_SECOND


def test_the_audit_goes_to_stdout_where_it_is_asked_to(start, line, keys):
    """A container's log is its stdout."""
    with start("--model", str(line), "--api-key-file", str(keys), "--audit-log", "-") as served:
        assert served.call("/predict", {"x": 3})[0] == 401
        said = json.loads(served.process.stdout.readline())
    assert (said["outcome"], said["status"], said["reason"]) == ("refused", 401, "NotAuthorized")


def test_lines_on_a_pipe_that_workers_share_are_whole(monkeypatch):
    """Of a pipe only so many bytes are written at once: two workers' lines were torn where many waited."""
    written = []
    monkeypatch.setattr(os, "write", lambda _, text: written.append(bytes(text)) or len(text))
    audit = Audit("-", accepted=False)
    for _ in range(200):
        audit.refused(WHO, WHAT, reason="Test")
    audit.close()
    assert max(map(len, written)) <= PIPE_BUF
    assert {each[-1:] for each in written} == {b"\n"}
    assert len(b"".join(written).splitlines()) == 200
