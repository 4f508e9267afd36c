"""Behind a proxy: other hosts, a prefix, slashes and parameters that it leaves in the address; nginx by the page."""

from __future__ import annotations

import argparse

import pytest

from serving.__main__ import main
from serving.access.url_paths import plain, prefix
from tests.serving.access.asking import ask


def one_row(golden):
    """A request that the flights model answers."""
    return {"dataframe_records": [golden[0]["row"]]}


@pytest.fixture(scope="module")
def behind(start, with_intervals):
    """A server that stands under a prefix behind a proxy."""
    options = ["--prefix", "/models/flights/", "--allow-host", "models.example.com", "--trust-proxy"]
    with start("--model", str(with_intervals), *options) as served:
        yield served


def test_a_prefix_is_served_and_its_paths_without_it(behind, golden):
    """A proxy may strip it or not; probes of the machine itself don't know it. Both ways are the same paths."""
    for place in ("", "/models/flights"):
        assert behind.call(place + "/invocations", one_row(golden))[0] == 200
        assert behind.call(place + "/readyz")[1] == {"status": "ready"}
        name = behind.call(place + "/v1/models")[1]["models"][0]
        assert behind.call(f"{place}/v2/models/{name}")[1]["name"] == name
    for path in ("/models/flight/readyz", "/models/flightsx/readyz", "/models/flights/models/flights/readyz"):
        assert behind.call(path)[0] == 404


def test_the_document_says_where_its_paths_are(behind):
    """A client that is generated from it asks where the proxy listens."""
    document = behind.call("/models/flights/openapi.json")[1]
    assert document["servers"] == [{"url": "/models/flights"}]
    (infer,) = (
        each for path, each in document["paths"].items() if path.endswith("/infer") and "{" not in path
    )
    assert infer["servers"] == [{"url": "/models/flights"}]
    for told, expected in {
        "/team/models": "/team/models",
        "/a/": "/a",
        "//evil.example": "/models/flights",
        "": "/models/flights",
    }.items():
        document = behind.call("/openapi.json", headers={"X-Forwarded-Prefix": told})[1]
        assert document["servers"] == [{"url": expected}], told


def test_a_proxys_word_counts_only_where_that_was_said(server, start, flights):
    """Anybody can send the header. Several models have their own path below the prefix."""
    assert "servers" not in server.call("/openapi.json", headers={"X-Forwarded-Prefix": "/a"})[1]
    with start("--model", f"a={flights}", "--model", f"b={flights}", "--prefix", "/models/a") as served:
        assert served.call("/models/a/openapi.json")[1]["servers"] == [{"url": "/models/a/models/a"}]
        assert served.call("/models/a/models/b/ping")[0] == served.call("/models/b/ping")[0] == 200


@pytest.mark.parametrize("path", ["/invocations/", "/invocations//", "/predict/"])
def test_a_slash_at_the_end_is_as_none(server, golden, path):
    """Clients and proxies add one; Flask and Django users expect it."""
    body = one_row(golden) if "invocations" in path else {"x": golden[0]["row"]}
    assert server.call(path, body)[0] == 200


def test_slashes_elsewhere(server):
    """Pages and the protocols' paths too."""
    name = server.call("/v1/models/")[1]["models"][0]
    for path in (
        "/ping/",
        "/metrics/",
        "/openapi.json/",
        "/v2/",
        f"/v2/models/{name}/",
        f"/v2/models/{name}/ready/",
    ):
        assert server.call(path)[0] == 200, path
    for path in ("//ping", "/a/"):
        assert server.call(path)[0] == 404, path


QUERIES = [
    *(
        "client=coverage-team",
        "coverages=3",
        "x-coverage=2",
        "utm=coverage",
        "trace=a%26coverage%3D2",
        "",
        "&&",
        "=",
    ),
    *("a=" + "b" * 5000, "%FF=%00", "a&b&c", ";coverage=5"),
]


@pytest.mark.parametrize("query", QUERIES)
def test_other_parameters_of_an_address_are_ignored(server, golden, query):
    """A gateway's own, a trace: the word may stand in a value. The model has no intervals, so it would be 400."""
    assert server.call(f"/invocations?{query}", one_row(golden))[0] == 200


@pytest.mark.parametrize("query", ["coverage=0.9", "a=b&coverage=0.9", "c%6fverage=0.9"])
def test_the_parameter_itself_is_obeyed(server, behind, golden, query):
    """Among others, and escaped; the same on a path with a slash."""
    assert "intervals" in behind.call(f"/invocations/?{query}", one_row(golden))[1]
    assert "without intervals" in server.call(f"/invocations?{query}", one_row(golden))[1]["message"]


@pytest.mark.parametrize(
    "query", ["coverage=", "coverage=a", "coverage=0.5&coverage=0.9", "coverage", "a&" * 200]
)
def test_a_parameter_that_is_none_is_refused(behind, golden, query):
    """One number, once."""
    assert behind.call(f"/invocations?{query}", one_row(golden))[0] == 400


HOSTS = {
    "models.example.com": 200, "Models.Example.Com:8080": 200, "models.example.com.": 200, "localhost:99": 200,
    "127.0.0.1": 200, "[::1]:5002": 200, "evil.example": 421, "models.example.com.evil": 421, "example.com": 421,
    "localhost.evil": 421, "": 421,
}  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_hosts_that_were_named_are_answered_and_no_others(behind, host):
    """Nginx sends the name of its upstream; a page that reaches loopback by a name of its own is refused."""
    assert ask(behind, "GET", "/ping", Host=host)[0] == HOSTS[host]


def test_beyond_loopback_hosts_count_once_they_are_named():
    """Without the option any is answered there, since a pod is asked by its address; `*` is any on loopback too."""
    from serving.access.callers import Access
    from serving.errors import WrongHost
    from serving.settings import Settings

    for host, named, asked, known in (
        ("0.0.0.0", (), b"10.0.0.7:5002", True),
        ("0.0.0.0", ("a.example",), b"10.0.0.7:5002", False),
        ("0.0.0.0", ("a.example",), b"A.example:80", True),
        ("0.0.0.0", ("[2001:db8::1]:80",), b"[2001:DB8::1]", True),
        ("127.0.0.1", ("*",), b"anything", True),
    ):
        rules = Access(Settings((), host=host, allowed_hosts=named))
        try:
            rules.check_host({b"host": asked})
            found = True
        except WrongHost:
            found = False
        assert found == known, (host, named, asked)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--prefix", "models"], "'models' is no path such as /models/flights"),
        (["--prefix", "//evil.example"], "is no path"),
        (["--prefix", "/a b"], "is no path"),
        (["--allow-host", "https://a.example/"], "is no host such as models.example.com"),
        (["--allow-host", ""], "is no host"),
        (["--allow-origin", "a.example"], "is no origin such as https://app.example.com"),
        (["--metrics-need-key"], "--metrics-need-key goes with --api-key-file"),
    ],
)
def test_options_that_cannot_work_stop_the_start(capsys, options, says):
    """They would never match, and nobody would see why."""
    try:
        code = main(["--model", "nowhere", "--port", "0", *options])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert says in capsys.readouterr().err.strip().splitlines()[-1]


def test_prefixes_and_paths():
    """The root is no prefix; what only begins alike is another path."""
    assert (prefix("/"), prefix(""), prefix("/a/b/")) == ("", "", "/a/b")
    with pytest.raises(argparse.ArgumentTypeError):
        prefix("/a/../b//c")
    assert [plain(path, "/a") for path in ("/a", "/a/", "/ab", "/a/b/", "/")] == ["/", "/", "/ab", "/b", "/"]
