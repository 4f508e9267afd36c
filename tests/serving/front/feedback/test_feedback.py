"""The truth comes back over HTTP: kept before it is thanked, refused whole, and with a key of its own."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import resource
import shutil
import subprocess
import threading
import urllib.request
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

from data.captures import Places, RecordFile
from serving.errors import SettingsError
from serving.options import parser, settings_of
from tests.serving.front.capture.captures import after
from tests.serving.front.capture.captures import kept_in as captured
from tests.serving.processes import processes_of, until
from training.archive import compact
from training.captures import captured_days

ID = "019ac5b0-1c00-7abc-9234-56789a000007"
CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
SCORES, TELLS = "a key that may ask for predictions", "a key that may say what became of them"


def kept_in(folder):
    """Return all labels of a folder with the names of their models, as they lie on the disk at this moment."""
    labels = []
    for path in Places(Path(folder)).labels.iterdir():
        for record in RecordFile(path):
            labels += [
                (record.head["received"], record.head["model"], *label) for label in record.head["labels"]
            ]
    return [label[1:] for label in sorted(labels, key=lambda each: each[0])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of captures."""
    return tmp_path_factory.mktemp("feedback") / "captures"


@pytest.fixture(scope="module")
def served(start, line, folder):
    """A server of two workers that keeps predictions."""
    with start("--model", str(line), "--capture", str(folder), "--workers", "2", "--rows", "2000") as running:
        yield running


def table(kind, **columns):
    """Return a table as a body."""
    frame, sink = pd.DataFrame(columns), io.BytesIO()
    frame.to_csv(sink, index=False) if kind == CSV else frame.to_parquet(sink, index=False)
    return sink.getvalue()


def metric(served, name):
    """Return a figure of all workers."""
    found = [each.split()[1] for each in served.call("/metrics")[1].splitlines() if each.startswith(name)]
    return sum(map(float, found))


def test_labels_are_on_the_disk_when_they_are_thanked(served, folder):
    """By an id of an answer, and by the caller's own; of each worker, in the order in which they came."""
    answer = served.call("/invocations", {"dataframe_records": [{"x": 1.0}, {"x": 2.0}]})
    last = after(answer[2]["X-Prediction-Id"], 1)
    before = len(kept_in(folder))
    for actual in (1.5, 2.5, None):
        said = served.call("/feedback", [{"id": last, "actual": actual, "at": "2026-11-28T10:00:00Z"}])
        assert said[:2] == (202, {"received": 1})
        assert kept_in(folder)[-1][1] == last
    served.call("/feedback/", [{"client_id": "order 7", "row": 3, "actual": 4}])
    assert [label[1:5] for label in kept_in(folder)[before:]] == [
        (last, None, None, 1.5),
        (last, None, None, 2.5),
        (last, None, None, None),
        (None, "order 7", 3, 4.0),
    ]
    for path in Places(folder).labels.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert Places(folder).labels.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", [CSV, PARQUET])
def test_tables_are_read_by_the_same_rules(served, folder, kind):
    """A gap is null, a whole number with a point is a row (pandas has no other way), and gzip is undone."""
    body = table(
        kind,
        id=[ID, None, None],
        client_id=[None, "NA", "b"],
        row=[None, 2, None],
        actual=[0.1, 2, None],
        at=["2026-11-28T10:00:00Z", None, "2026-11-28"],
    )
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    assert served.call("/feedback", gzip.compress(body), headers=headers)[:2] == (202, {"received": 3})
    expected = {
        (ID, None, None, 0.1, 1795860000000),
        (None, "NA", 2, 2.0, None),
        (None, "b", 0, None, 1795824000000),
    }
    assert {label[1:] for label in kept_in(folder)} >= expected


def hostile():
    """Yield what no label is in, its Content-Type, the status, and what the answer says."""
    json_type = "application/json"
    good = f'{{"id": "{ID}", "actual": 1}}'
    yield b"", json_type, 400, "JSON"
    yield b"[]", json_type, 400, "there are no labels"
    yield b"{}", json_type, 400, "a list of labels"
    yield b'{"id": "secret", "actual": 1}', json_type, 400, "a list of labels"
    yield b"[1]", json_type, 400, "a list of labels"
    yield f"[{good}, null]".encode(), json_type, 400, "a list of labels"
    yield f'[{{"id": "{ID}", "actual": NaN}}]'.encode(), json_type, 400, "NaN"
    yield f'[{{"id": "{ID}", "actual": 1e999}}]'.encode(), json_type, 400, ""
    yield f'[{{"id": "{ID}", "actual": 1, "actual": 2}}]'.encode(), json_type, 400, "same key twice"
    yield f'[{{"id": "{ID}", "actual": 1, "secret": 2}}]'.encode(), json_type, 400, "none but id"
    yield f'[{good}, {{"id": "secret", "actual": "secret"}}]'.encode(), json_type, 400, "row 1, column 'id'"
    yield b"[" * 100 + b"]" * 100, json_type, 413, "levels of JSON"
    yield f"[{','.join([good] * 2001)}]".encode(), json_type, 413, "2000"
    yield table(CSV, id=[ID] * 2001, actual=1), CSV, 413, "2000"
    yield table(PARQUET, id=[ID] * 2001, actual=1), PARQUET, 413, "2000"
    yield table(CSV, id=[ID], actual=["nan"]), CSV, 400, "row 0, column 'actual'"
    yield table(CSV, id=[ID], actual=[1], secret=[1]), CSV, 400, "none but id"
    yield table(CSV, id=[ID]), CSV, 400, "no such column"
    yield table(CSV, actual=[1]), CSV, 400, "neither"
    yield b"id,actual\n", CSV, 400, "there are no labels"
    yield b"", CSV, 400, "empty"
    yield b'id,actual\n"', CSV, 400, ""
    yield table(PARQUET, id=[ID], actual=[[1.0]]), PARQUET, 400, "column 'actual'"
    yield table(PARQUET, id=[ID], actual=[True]), PARQUET, 400, "row 0, column 'actual'"
    yield table(PARQUET, id=[b"\xff"], actual=[1]), PARQUET, 400, "row 0, column 'id'"
    yield b"PAR1secretPAR1", PARQUET, 400, "no readable"
    yield good.encode(), "text/plain", 415, "application/json"
    yield good.encode(), "application/vnd.apache.arrow.stream", 415, "text/csv"


@pytest.mark.parametrize("case", list(hostile()))
def test_what_is_wrong_is_refused_whole_and_not_repeated(served, folder, case):
    """One line with the place; nothing of the body is kept, said, or a failure of ours."""
    body, kind, status, says = case
    before = len(kept_in(folder))
    code, answer, _ = served.call("/feedback", body, headers={"Content-Type": kind})
    assert (code, "secret" in json.dumps(answer)) == (status, False)
    assert says in answer["message"]
    assert len(kept_in(folder)) == before


def test_all_faults_are_in_one_answer(served):
    """Who sends ten thousand labels mends them at once."""
    faulty = [
        {"id": ID, "actual": "1"},
        {"id": ID, "client_id": "a", "actual": 1},
        {"id": 7, "actual": 1, "at": 7},
    ]
    answer = served.call("/feedback", faulty)[1]
    assert [(each["row"], each["column"]) for each in answer["errors"]] == [
        (0, "actual"),
        (1, "id"),
        (2, "id"),
        (2, "at"),
    ]
    assert answer["error_count"] == 4


def test_figures_count_labels_and_refusals_by_reason(served):
    """Who watches the server sees that labels come, and why some do not."""
    kept, refused = metric(served, "slipway_feedback_labels_total"), "slipway_feedback_refused_total{reason="
    before = metric(served, refused + '"WrongType"')
    served.call("/feedback", [{"id": ID, "actual": 1}] * 5)
    served.call("/feedback", b"x", headers={"Content-Type": "text/plain"})
    assert metric(served, "slipway_feedback_labels_total") == kept + 5
    assert metric(served, refused + '"WrongType"') == before + 1
    assert metric(served, 'slipway_requests_total{protocol="feedback",status="202"}') >= 1


def test_the_path_is_described_and_answers_as_described(served, server, golden):
    """A generator of clients learns of it where it is; elsewhere there is no such path."""
    document = served.call("/openapi.json")[1]
    schemas = {"components": document["components"]}
    label = {"$ref": "#/components/schemas/Label"} | schemas
    jsonschema.validate({"id": ID, "actual": None}, label)
    jsonschema.validate({"id": ID, "client_id": None, "row": None, "actual": 1}, label)
    jsonschema.validate({"client_id": "a", "row": 1, "actual": 1.5, "at": "2026-11-28T10:00:00Z"}, label)
    for wrong in (
        {"id": ID},
        {"actual": 1},
        {"id": ID, "client_id": "a", "actual": 1},
        {"id": ID, "actual": "1"},
        {"id": "x", "actual": 1},
        {"id": ID, "row": 1, "actual": 1},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, label)
    named = [
        path
        for path, item in document["paths"].items()
        if "X-Prediction-Id" in item.get("post", {}).get("responses", {}).get("200", {}).get("headers", {})
    ]
    assert {"/invocations", "/predict"} < set(named)
    for path in named:
        names = {each["name"] for each in document["paths"][path]["post"]["parameters"]}
        assert names >= {"X-Request-Id", "Ce-Id", "Ce-Time"}
    elsewhere = json.dumps(server.call("/openapi.json")[1])
    assert "X-Prediction-Id" not in elsewhere
    assert "Ce-Time" not in elsewhere
    statuses = set(document["paths"]["/feedback"]["post"]["responses"])
    assert statuses >= {"202", "400", "401", "403", "405", "408", "413", "415", "421", "503", "504", "507"}
    assert served.call("/feedback")[0] == 405
    assert "/feedback" not in server.call("/openapi.json")[1]["paths"]
    assert server.call("/feedback", [{"id": ID, "actual": 1}])[0] == 404


def test_curl_sends_a_file(served, folder, tmp_path):
    """As the docs say it."""
    path = tmp_path / "labels.csv"
    path.write_bytes(table(CSV, client_id=["curl"], actual=[7.25]))
    command = [
        "curl",
        "-sS",
        "--data-binary",
        f"@{path}",
        "-H",
        "Content-Type: text/csv",
        f"{served.url}/feedback",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert json.loads(said) == {"received": 1}
    assert ("curl", 0, 7.25) in {(label[2], label[3], label[4]) for label in kept_in(folder)}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/json", "Origin": "https://evil.example"}, 403),
        ({"Content-Type": "application/json", "Origin": "null"}, 403),
        (
            {
                "Content-Type": "application/json",
                "Origin": "https://a.example",
                "Sec-Fetch-Site": "cross-site",
            },
            403,
        ),
        (
            {
                "Content-Type": "application/json",
                "Origin": "https://a.example",
                "Sec-Fetch-Site": "same-origin",
            },
            202,
        ),
        ({"Content-Type": "application/json", "Origin": "{own}"}, 202),
    ],
)
def test_what_any_page_could_send_is_refused(served, folder, headers, status):
    """A browser asks no server before it sends bytes without a type; a page of the server's own address may send."""
    before = len(kept_in(folder))
    connection = http.client.HTTPConnection(served.url.removeprefix("http://"), timeout=20)
    sent = {name: value.replace("{own}", served.url) for name, value in headers.items()}
    connection.request("POST", "/feedback", json.dumps([{"id": ID, "actual": 1}]), sent)
    assert connection.getresponse().status == status
    connection.close()
    assert len(kept_in(folder)) == before + (status == 202)


def test_another_host_is_turned_away(served):
    """A page in a browser may be reaching for loopback."""
    assert served.call("/feedback", [{"id": ID, "actual": 1}], headers={"Host": "evil.example"})[0] == 421


def test_a_page_of_a_known_origin_may_send_labels(start, line, tmp_path):
    """A form where people say what a house was sold for; under the server's prefix too."""
    options = ("--allow-origin", "https://a.example", "--prefix", "/p")
    asks = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    with start("--model", str(line), "--capture", str(tmp_path / "c"), *options) as served:
        request = urllib.request.Request(f"{served.url}/feedback", headers=asks, method="OPTIONS")
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        said = served.call("/p/feedback", [{"id": ID, "actual": 1}], headers={"Origin": "https://a.example"})
        assert (said[0], said[2]["Access-Control-Allow-Origin"]) == (202, "https://a.example")
        other = served.call("/feedback", [{"id": ID, "actual": 1}], headers={"Origin": "https://b.example"})
        assert other[0] == 403
        assert "Access-Control-Allow-Origin" not in other[2]


@pytest.fixture()
def alone(start, line, tmp_path):
    """A server of its own, and its captures."""
    with start("--model", str(line), "--capture", str(tmp_path / "c"), "--workers", "2") as running:
        yield running, tmp_path / "c"


def test_labels_survive_workers_that_are_killed(alone):
    """What was thanked is there after kill -9; many clients at once, two workers, each label once."""
    served, folder = alone
    thanked = []

    def send(client):
        for row in range(40):
            try:
                if served.call("/feedback", [{"client_id": client, "row": row, "actual": row}])[0] == 202:
                    thanked.append((client, row))
            except OSError:
                pass  # its worker was killed

    clients = [threading.Thread(target=send, args=(f"client {each}",)) for each in range(6)]
    for each in clients:
        each.start()
    until(lambda: len(thanked) > 60)
    first, second = processes_of(served)
    first.kill()
    for each in clients:
        each.join()
    second.kill()
    kept = [(label[2], label[3]) for label in kept_in(folder)]
    assert len(set(kept)) == len(kept)
    assert set(thanked) <= set(kept)
    until(lambda: not [path for path in Places(folder).labels.glob("*.open") if _is_left(path)])


def _is_left(path):
    """Whether nobody holds a file's lock."""
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return path.stat().st_size > 0


def test_a_full_disk_keeps_all_or_nothing_and_says_so(start, line, tmp_path):
    """The kernel writes a part and then refuses; the part is taken back. Labels are kept again once there is room."""
    folder = tmp_path / "c"
    with start("--model", str(line), "--capture", str(folder)) as served:
        many = [{"client_id": "a", "row": row, "actual": row} for row in range(5_000)]
        served.call("/feedback", many)
        (path,) = Places(folder).labels.iterdir()
        size = path.stat().st_size
        (worker,) = processes_of(served)
        room = (size + 400, resource.RLIM_INFINITY)
        before = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, room)
        status, answer, _ = served.call("/feedback", many)
        assert (status, answer["message"]) == (
            507,
            "the disk is full, none of the labels was kept: send them again when there is room",
        )
        assert path.stat().st_size == size
        assert served.call("/invocations", {"dataframe_records": [{"x": 1.0}]})[0] == 200
        assert served.call("/feedback", [{"id": ID, "actual": 1}])[0] == 202, "what fits is kept"
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, before)
        assert served.call("/feedback", many)[0] == 202
        assert metric(served, 'slipway_feedback_refused_total{reason="NoRoom"}') == 1
    found = [RecordFile(path) for path in sorted(Places(folder).labels.glob("*.labels"))]
    assert [[len(record.head["labels"]) for record in file] for file in found] == [[5_000], [1, 5_000]]
    assert [file.torn for file in found] == [0, 0]


def test_each_model_has_a_path_of_its_own(start, line, flights, tmp_path):
    """An id says nothing of its model; the path does."""
    first, second = (
        shutil.copytree(each, tmp_path / name) for each, name in ((line, "one"), (flights, "two"))
    )
    models = ("--model", f"a={first}", "--model", f"b={second}")
    with start(*models, "--capture", str(tmp_path / "c")) as served:
        assert served.call("/models/b/feedback", [{"id": ID, "actual": 1}])[0] == 202
        assert served.call("/feedback", [{"id": ID, "actual": 1}])[0] == 404
        assert "/feedback" in served.call("/models/a/openapi.json")[1]["paths"]
        served.call("/models/a/invocations", {"dataframe_records": [{"x": 1.0}]})
    assert [label[0] for label in kept_in(tmp_path / "c")] == ["two"]
    (row,) = captured(tmp_path / "c").values()
    assert row.layout.model == "one", "predictions have the same names"


def test_labels_meet_the_predictions_that_they_name(start, line, tmp_path):
    """From two answers of two workers to the figures that a monitor reads: by id, by the caller's id, and withdrawn."""
    folder, version = tmp_path / "c", shutil.copytree(line, tmp_path / "line")
    rows = {"dataframe_records": [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}]}
    with start("--model", str(version), "--capture", str(folder), "--workers", "2") as served:
        answer = served.call("/invocations", rows, headers={"X-Request-Id": "order 7"})
        first = answer[2]["X-Prediction-Id"]
        served.call("/feedback", [{"id": first, "actual": 1}, {"id": after(first, 1), "actual": 2}])
        served.call(
            "/feedback", [{"client_id": "order 7", "row": 2, "actual": 3}, {"id": first, "actual": None}]
        )
        number = answer[2]["X-Model-Version"]
    compact(Places(folder), lambda *_: None)
    (day,) = captured_days(Places(folder), "line", number)
    assert day.predictions.tolist() == answer[1]["predictions"]
    assert np.isnan(day.actual[0])
    assert day.actual[1:].tolist() == [2.0, 3.0]


@pytest.fixture()
def keys(tmp_path):
    """The files of both kinds of keys."""
    files = []
    for name, key in (("scoring", SCORES), ("feedback", TELLS)):
        files.append(tmp_path / name)
        files[-1].write_text(hashlib.sha256(key.encode()).hexdigest())
    return files


def test_a_key_that_scores_tells_no_truth_and_the_other_way_round(start, line, tmp_path, keys):
    """Labels decide what a later version learns."""
    options = ("--api-key-file", str(keys[0]), "--feedback-key-file", str(keys[1]))
    with start("--model", str(line), "--capture", str(tmp_path / "c"), *options) as served:
        label, rows = [{"id": ID, "actual": 1}], {"dataframe_records": [{"x": 1.0}]}
        for key, statuses in ((SCORES, (200, 401)), (TELLS, (401, 202)), ("", (401, 401))):
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            got = (
                served.call("/invocations", rows, headers=headers),
                served.call("/feedback", label, headers=headers),
            )
            assert tuple(each[0] for each in got) == statuses, key
        assert "for feedback" in served.call("/feedback", label)[1]["message"]
        (kept,) = kept_in(tmp_path / "c")
        assert kept[1:] == (ID, None, None, 1.0, None)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--capture", "c", "--host", "0.0.0.0", "--no-auth"], "--host 0.0.0.0 with --capture: pass"),
        (["--feedback-key-file", "{1}"], "--feedback-key-file goes with --capture DIR"),
        (
            ["--capture", "c", "--api-key-file", "{0}"],
            "--api-key-file with --capture: pass --feedback-key-file",
        ),
        (["--capture", "c", "--host", "0.0.0.0", "--api-key-file", "{0}"], "pass --feedback-key-file"),
        (
            ["--capture", "c", "--api-key-file", "{0}", "--feedback-key-file", "{0}"],
            "holds a key of --api-key-file",
        ),
        (["--capture", "c", "--feedback-key-file", "{1}.none"], "--feedback-key-file .*none: cannot be read"),
    ],
)
def test_what_would_take_labels_from_anybody_is_refused_at_the_start(keys, words, says):
    """As --host without a key is."""
    words = [word.format(*keys) for word in words]
    with pytest.raises(SettingsError, match=says):
        settings_of(parser().parse_args(["--model", "m", *words]))


@pytest.mark.parametrize(
    "words",
    [
        ["--capture", "c"],
        ["--capture", "c", "--host", "0.0.0.0", "--no-auth", "--feedback-key-file", "{1}"],
        ["--api-key-file", "{0}"],
    ],
)
def test_what_was_meant_to_be_open_is(keys, words):
    """On this machine alone, or where somebody says so."""
    assert settings_of(parser().parse_args(["--model", "m", *[word.format(*keys) for word in words]]))
