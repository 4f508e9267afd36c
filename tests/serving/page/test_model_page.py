"""The page for people: who gets it, under which policy and key, and what it is told of a model. The browser's part is
in tests/serving/page/test_page_in_browser.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

from data.schema import Column, Schema
from serving.front import App, Backend
from serving.options import parser, settings_of
from serving.page import of_scorer, of_signature, page_files, static_files
from serving.runtimes import load
from serving.scorer import Document, Intervals
from serving.settings import CaptureRules, Model, Settings

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
KEY = "a key of some length"
MOST_BYTES = 60_000
WRITES_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|setHTML|\beval\b|new Function|srcdoc"
)


@pytest.fixture(scope="module")
def runtime(line):
    """A line, loaded once."""
    return load(Model(str(line / "scorer"), key="sigma", name="sigma", version="3"), Settings(()))


def app_of(runtime, **settings):
    """A worker's application in this process."""
    return App(Backend([runtime], Settings((runtime.model,), **({"page": True} | settings))))


def ask(*asked, **words):
    """What it answers: status, headers, body."""
    return asyncio.run(answer(*asked, **words))


async def answer(app, path, headers=(), *, body=b"", method="GET"):
    """What it answers, in a loop that goes on."""
    sent = []
    named = [(name.lower().encode(), text.encode()) for name, text in dict(headers).items()]
    scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "headers": named}
    scope |= {"query_string": b"", "client": ("127.0.0.1", 1), "state": {}}

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return SimpleNamespace(
        status=sent[0]["status"],
        headers={name.decode(): text.decode() for name, text in sent[0]["headers"]},
        body=sent[1]["body"],
    )


def test_a_browser_gets_the_page_and_a_program_what_it_always_got(runtime):
    """KServe's first protocol asks whether the server is alive there."""
    app = app_of(runtime)
    page = ask(app, "/", BROWSER)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        assert ask(app, "/", headers).body == b'{"status":"alive"}'
    assert ask(app, "/", BROWSER, method="DELETE").status == 405
    without = app_of(runtime, page=False)
    assert ask(without, "/", BROWSER).body == b'{"status":"alive"}'
    assert [ask(without, path).status for path in ("/page.js", "/page.json", "/models/sigma/model.json")] == [
        404
    ] * 3


@pytest.mark.parametrize(
    ("words", "has_page"),
    [
        ([], True),
        (["--no-page"], False),
        (["--host", "0.0.0.0", "--no-auth"], False),
        (["--host", "0.0.0.0", "--no-auth", "--page"], True),
    ],
)
def test_beyond_this_machine_there_is_a_page_where_one_was_asked_for(words, has_page):
    """It is for who tries a model, and one more thing to look after elsewhere."""
    assert settings_of(parser().parse_args(["--model", "m", *words])).page is has_page


def test_the_policy_lets_nothing_run_and_nobody_be_asked_but_this_server(runtime):
    """Whatever a column is called: no script and no style of the page itself, and none that writes HTML."""
    app = app_of(runtime)
    for path in ("/", "/page.css", "/page.js"):
        headers = ask(app, path, BROWSER).headers
        policy = dict(each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";"))
        assert {policy[name] for name in ("default-src", "frame-ancestors", "form-action", "base-uri")} <= {
            "'none'",
            "'self'",
        }
        assert (policy["default-src"], policy["script-src"], policy["style-src"]) == (
            "'none'",
            "'self'",
            "'self'",
        )
        assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "'none'")
        assert headers["x-content-type-options"] == "nosniff"


class Shape(HTMLParser):
    """What stands in the page that a policy would refuse, or that asks another host."""

    def __init__(self, page):
        super().__init__()
        self.faults, self.ids, self._tag = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        """Look at one."""
        self._tag = tag
        self.ids += [text for name, text in attrs if name == "id"]
        self.faults += [name for name, _ in attrs if name.startswith("on") or name == "style"]
        self.faults += [
            text for name, text in attrs if name in ("src", "href") and ("//" in text or text.startswith("/"))
        ]

    def handle_data(self, data):
        """Look at a text."""
        if self._tag in ("script", "style") and data.strip():
            self.faults.append(data)


def test_the_files_are_small_refer_to_each_other_alone_and_write_no_html():
    """No framework, no font, no picture of another host; all that is shown goes through textContent."""
    files = {path: file.body.decode() for path, file in page_files().items()}
    assert sum(map(len, (file.body for file in page_files().values()))) < MOST_BYTES
    shape = Shape(files["/"])
    assert shape.faults == []
    assert len(shape.ids) == len(set(shape.ids))
    assert not WRITES_HTML.search(files["/page.js"])
    known = set(shape.ids) | {"raw"}
    assert set(re.findall(r'\$\("([^"]+)"\)', files["/page.js"])) <= known
    assert re.findall(r"https?://[^\"' ]+", "".join(files.values())) == ["http://www.w3.org/2000/svg"]


def test_each_part_of_the_script_is_sent_once():
    """One that is left out would be missed at its first use alone, in a browser."""
    folder = Path(static_files.__file__).with_name("script")
    assert sorted(static_files.SCRIPT) == sorted(path.stem for path in folder.iterdir())
    script = page_files()["/page.js"].body.decode()
    named = re.findall(r"^(?:async )?function (\w+)|^(?:const|let) (\w+)", script, re.MULTILINE)
    names = [one or other for one, other in named]
    assert len(names) == len(set(names)) > 50, "they share one scope"
    assert script.rstrip().endswith("start();")


def test_a_browser_that_has_a_file_is_not_sent_it_again(runtime):
    """It asks each time, so that a new server's page is never mixed with an old one's script."""
    app = app_of(runtime)
    for path in ("/", "/page.css", "/page.js"):
        tag = ask(app, path, BROWSER).headers["etag"]
        for known in (tag, f'W/{tag}, "other"', "*"):
            again = ask(app, path, BROWSER | {"If-None-Match": known})
            assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in again.headers
        assert ask(app, path, BROWSER | {"If-None-Match": '"other"'}).status == 200


def test_the_page_itself_needs_no_key_and_names_no_model_but_what_it_shows_does(runtime, tmp_path):
    """A browser sends no key with an address: the page asks for one, and its scopes are those of other descriptions."""
    known = {name: f"{KEY} for {name}" for name in ("predict", "page", "metrics")}
    lines = [f"{hashlib.sha256(key.encode()).hexdigest()} a{name} {name}" for name, key in known.items()]
    (tmp_path / "keys").write_text("\n".join(lines))
    app = app_of(runtime, key_file=str(tmp_path / "keys"))
    for path in ("/", "/page.css", "/page.js"):
        page = ask(app, path, BROWSER)
        assert (
            page.status,
            b"sigma" in page.body,
            "x-model-version" in page.headers,
        ) == (200, False, False)
    for path in ("/page.json", "/models/sigma/model.json"):
        statuses = [ask(app, path, {"X-API-Key": known[name]}).status for name in known]
        assert (ask(app, path).status, statuses) == (401, [200, 200, 403]), path


def test_a_browser_that_forgot_the_slash_is_sent_on(runtime):
    """The page's files are named beside it, so that a proxy may put it anywhere."""
    app = app_of(runtime, prefix="/at/home")
    sent = ask(app, "/at/home", BROWSER)
    assert (sent.status, sent.headers["location"]) == (308, "home/")
    assert ask(app, "/at/home/", BROWSER).body == page_files()["/"].body
    assert ask(app, "/at/home/page.js").body == page_files()["/page.js"].body


def test_what_the_page_is_told_of_a_model(runtime):
    """Where it is, since when, and what a form needs."""
    app = app_of(runtime)
    assert json.loads(ask(app, "/page.json").body) == {"models": [{"name": "sigma", "path": "models/sigma/"}]}
    said = json.loads(ask(app, "/models/sigma/model.json").body)
    assert (said["name"], said["version"], said["digest"]) == ("sigma", "3", runtime.description.digest)
    assert (said["since"] > 1.7e9, said["runtime"], said["target"]) == (
        True,
        "scorer",
        {"name": "y", "unit": ""},
    )
    (column,) = said["columns"]
    assert (column["name"], column["kind"], column["minimum"] < column["usual"][0]) == ("x", "number", True)
    assert said["examples"]
    assert said["intervals"] is None


def test_a_form_has_units_ranges_categories_gaps_and_intervals():
    """As training saw them."""
    columns = (
        Column("size", "number", unit="m²", minimum=1.0, maximum=9.0, quantiles=(1.5, 2, 3, 4, 5, 6, 8.5)),
        Column("town", "category", missing=True, categories=("Oslo", "<b>")),
    )
    schema = Schema(columns, target="price", target_unit="EUR")
    intervals = Intervals("calibration", 100, False, (0.5, 0.9), (1.0, 2.0))
    document = Document(schema, "", None, {}, ({"size": 2.0, "town": None},), (3.0,), intervals)
    form = of_scorer(document)
    assert form["target"] == {"name": "price", "unit": "EUR"}
    assert form["columns"] == [
        {
            "name": "size",
            "kind": "number",
            "unit": "m²",
            "missing": False,
            "minimum": 1.0,
            "maximum": 9.0,
            "usual": [1.5, 8.5],
        },
        {"name": "town", "kind": "category", "unit": "", "missing": True, "categories": ("Oslo", "<b>")},
    ]
    assert form["explains"] is False
    assert of_scorer(replace(document, explain="0" * 64))["explains"] is True
    assert (form["examples"], form["intervals"]["coverage"]) == ([{"size": 2.0, "town": None}], (0.5, 0.9))


def test_a_model_that_mlflow_runs_has_the_form_of_its_signature():
    """Types alone; what takes arrays has no columns, and is asked in JSON."""
    inputs = [{"type": "long", "name": "rooms"}, {"type": "array", "name": "tags", "required": False}]
    form = of_signature({"inputs": inputs})
    assert form["columns"] == [
        {"name": "rooms", "kind": "number", "unit": "", "missing": False, "whole": True},
        {"name": "tags", "kind": "json", "unit": "", "missing": True},
    ]
    assert (form["examples"], form["intervals"]) == ([], None)
    for unnamed in (
        [],
        None,
        [{"type": "double"}],
        [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}],
    ):
        assert of_signature({"inputs": unnamed})["columns"] == []


def test_what_is_asked_to_try_is_not_kept_as_traffic(runtime, tmp_path):
    """A curve is 64 rows that nobody had: a monitor would take them for a drift."""
    app = app_of(runtime, capture=CaptureRules(folder=str(tmp_path)))
    sent, path = {"Content-Type": "application/json"}, "/models/sigma/predict"

    async def asked():
        given = [sent, sent | {"X-Capture": "no"}, sent | {"X-Capture": "yes"}]
        found = [await answer(app, path, each, body=b'{"x": 3}', method="POST") for each in given]
        return [(each.status, "x-prediction-id" in each.headers) for each in found]

    assert asyncio.run(asked()) == [(200, True), (200, False), (200, True)]
    app._backend.close()


def test_a_program_that_may_only_predict_cannot_stay_out_of_captures(runtime, tmp_path):
    """A caller who hides its rows hides a drift, too: who may see the page tries things, the others are traffic."""
    keys, key_file = (
        {scope: f"a key of some length, {scope}" for scope in ("predict", "all")},
        tmp_path / "keys",
    )
    hashed = {scope: hashlib.sha256(key.encode()).hexdigest() for scope, key in keys.items()}
    key_file.write_text(f"{hashed['predict']} robot predict\n{hashed['all']} person\n")
    rules = CaptureRules(folder=str(tmp_path / "captures"))
    app = app_of(runtime, capture=rules, key_file=str(key_file))
    sent = {"Content-Type": "application/json", "X-Capture": "no"}

    async def asked():
        given = [sent | {"X-Api-Key": keys[scope]} for scope in ("predict", "all")]
        path = "/models/sigma/predict"
        found = [await answer(app, path, each, body=b'{"x": 3}', method="POST") for each in given]
        return [(each.status, "x-prediction-id" in each.headers) for each in found]

    assert asyncio.run(asked()) == [(200, True), (200, False)]
    app._backend.close()
