"""Clients that people have at hand, as they send by themselves: curl, wget, the JDK's two, requests, aiohttp."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import subprocess

import aiohttp
import pytest
import requests

from tests.conftest import ROOT, missing_part

ROW = json.dumps({"x": 3})


@pytest.fixture(scope="module")
def place(start, line):
    """A model of one number; its address."""
    with start("--model", str(line)) as served:
        yield served.url


def run(*words: str) -> str:
    """Run a program, and return what it prints."""
    if not shutil.which(words[0]):
        missing_part(words[0])
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout + done.stderr


def right(answer: str | dict) -> bool:
    """Whether an answer is the prediction."""
    return (json.loads(answer) if isinstance(answer, str) else answer)["y"] == pytest.approx(10.99, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--http1.0"],
        ["--http2"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Transfer-Encoding: chunked"],
        ["--compressed"],
        ["-X", "POST"],
    ],
)
def test_curl(place, options):
    """With what people add to it, and without a header too."""
    typed = ["-H", "Content-Type: application/json", "-d", ROW]
    assert right(run("curl", "-sS", *options, *typed, place + "/predict"))
    assert right(run("curl", "-sS", *options, "--json", ROW, place + "/predict/"))


def test_curl_asks_for_heads_and_methods(place):
    """`-I` and `-X OPTIONS`."""
    assert run("curl", "-sSI", place + "/openapi.json").startswith("HTTP/1.1 200")
    assert "allow: POST, OPTIONS" in run("curl", "-sSi", "-X", "OPTIONS", place + "/predict")
    assert "allow: GET, HEAD, OPTIONS" in run("curl", "-sSi", "-X", "DELETE", place + "/readyz")


def test_wget(place):
    """It sends a form unless told, and is told so; `--content-on-error` shows it."""
    json_type = "--header=Content-Type: application/json"
    assert right(run("wget", "-qO-", json_type, f"--post-data={ROW}", place + "/predict"))
    assert "wget --post-data" in run(
        "wget", "-qO-", "--content-on-error", f"--post-data={ROW}", place + "/predict"
    )
    assert run("wget", "-qO-", place + "/readyz") == '{"status":"ready"}'
    assert "200 OK" in run("wget", "--spider", "-S", place + "/openapi.json")


def test_python_clients(place):
    """A session that is kept, a body that comes in pieces, a gzip body."""
    with requests.Session() as session:
        for _ in range(3):
            assert right(session.post(place + "/predict", json={"x": 3}, timeout=20).json())
        pieces = session.post(
            place + "/predict",
            data=iter([b'{"x"', b": 3}"]),
            headers={"Content-Type": "application/json"},
            timeout=20,
        )
        assert right(pieces.json())
        assert (
            "form unless told"
            in session.post(place + "/predict", data={"x": 3}, timeout=20).json()["message"]
        )
        files = session.post(place + "/predict", files={"x": b"3"}, timeout=20)
        assert "--data-binary" in files.json()["message"]

    async def ask() -> list[dict]:
        async with aiohttp.ClientSession() as client:
            packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            calls = [
                client.post(place + "/predict", json={"x": 3}),
                client.post(place + "/predict", data=gzip.compress(ROW.encode()), headers=packed),
                client.post(place + "/predict", json={"x": 3}, compress="gzip"),
            ]
            return [await (await call).json() for call in calls]

    assert all(map(right, asyncio.run(ask())))


@pytest.mark.soak
def test_java(place):
    """JDK 17's HttpClient asks for an upgrade by itself, HttpURLConnection sends pieces and `Accept: text/html`."""
    source = str(ROOT / "tests" / "serving" / "clients" / "Ask.java")
    for more in ([], ["expect"]):
        said = run("java", source, place + "/predict", ROW, *more).strip().splitlines()
        assert [line[:4] for line in said] == ["200 ", "200 "], said
        assert all(right(line[4:]) for line in said)
