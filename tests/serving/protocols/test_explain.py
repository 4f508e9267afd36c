"""Reasons at the endpoint: by column, summing to the prediction; asked for, bounded, refused where there are none."""

from __future__ import annotations

import asyncio
import json
import shutil

import numpy as np
import pytest

from serving.errors import NotExplained
from serving.front.app import App
from serving.front.backend import Backend
from serving.runtimes.compiled import CompiledRuntime
from serving.scorer import Scorer, scorer_files
from serving.scorer.errors import WrongDigest
from serving.settings import Model, Settings


class Asked:
    """One worker's application, in this process."""

    def __init__(self, folder):
        self.runtime = CompiledRuntime.load(Model(str(folder / "scorer")), threads=1)
        self.app = App(Backend([self.runtime], Settings(models=(self.runtime.model,))))

    @property
    def names(self):
        """The model's columns, in its order."""
        return list(self.runtime.scorer.schema.names)

    def call(self, path, body, kind=b"application/json"):
        """Return status and body of an answer."""
        return asyncio.run(self._call(path, body, kind))

    async def _call(self, path, body, kind):
        sent = []
        content = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def receive():
            return {"body": content}

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", kind)]
        scope = {"type": "http", "path": path, "method": "POST", "headers": headers, "query_string": b""}
        self.app._backend.background._loop = None  # each call has a loop of its own
        await self.app(scope, receive, send)
        return sent[0]["status"], json.loads(sent[1]["body"])


@pytest.fixture(scope="module")
def asked(flights):
    """The flights model."""
    return Asked(flights)


@pytest.fixture(scope="module")
def rows(golden):
    """Its golden rows."""
    return [case["row"] for case in golden]


def test_contributions_are_by_the_users_columns_and_sum_to_the_prediction(asked, rows, golden):
    """Each row by itself: base and contributions are the prediction, which is that of /invocations."""
    status, answer = asked.call("/explain", {"dataframe_records": rows})
    assert (status, answer["target"]) == (200, "arr_delay")
    for said, case in zip(answer["explanations"], golden, strict=True):
        assert list(said["contributions"]) == asked.names
        assert said["prediction"] == pytest.approx(case["prediction"], rel=1e-9)
        total = said["base"] + sum(said["contributions"].values())
        assert total == pytest.approx(said["prediction"], abs=1e-9 * max(1.0, abs(said["prediction"])))
        assert (said["method"], said["exact"]) == ("single-columns", True)


@pytest.mark.parametrize("form", ["dataframe_split", "instances", "inputs"])
def test_each_json_form_of_invocations_is_taken(asked, rows, form):
    """Who has a body for predictions sends the same one for reasons."""
    body = {
        "dataframe_split": {"columns": list(rows[0]), "data": [list(rows[0].values())]},
        "instances": [rows[0]],
        "inputs": {name: [value] for name, value in rows[0].items()},
    }[form]
    expected = asked.call("/explain", {"dataframe_records": rows[:1]})
    assert asked.call("/explain", {form: body}) == expected
    assert expected[0] == 200


def test_the_largest_are_shown_first_and_the_rest_as_one_number(asked, rows):
    """A model of 500 columns has three reasons that matter."""
    whole = asked.call("/explain", {"dataframe_records": rows[:1]})[1]["explanations"][0]
    said = asked.call("/explain", {"dataframe_records": rows[:1], "params": {"top": 2}})[1]["explanations"][0]
    by_size = sorted(whole["contributions"].items(), key=lambda each: -abs(each[1]))
    assert list(said["contributions"].items()) == by_size[:2]
    assert said["rest"] == pytest.approx(sum(value for _, value in by_size[2:]))
    every = asked.call("/explain", {"dataframe_records": rows[:1], "params": {"top": 99}})[1]["explanations"][
        0
    ]
    assert (len(every["contributions"]), "rest" in every) == (len(rows[0]), False)


def test_invocations_answer_as_ever_unless_asked(asked, rows):
    """MLflow's clients find what they found; who asks finds reasons beside it."""
    body = {"dataframe_records": rows[:2]}
    plain = asked.call("/invocations", body)
    assert asked.call("/invocations", body | {"params": {"explain": False}}) == plain
    assert set(plain[1]) == {"predictions"}
    status, answer = asked.call("/invocations", body | {"params": {"explain": True, "top": 1}})
    assert (status, answer["predictions"]) == (200, pytest.approx(plain[1]["predictions"], rel=1e-12))
    assert [len(each["contributions"]) for each in answer["explanations"]] == [1, 1]


def test_reasons_and_intervals_can_be_asked_for_together(with_intervals, rows):
    """The page shows both."""
    params = {"explain": True, "coverage": 0.9}
    status, answer = Asked(with_intervals).call(
        "/invocations", {"dataframe_records": rows[:1], "params": params}
    )
    assert (status, set(answer)) == (200, {"predictions", "intervals", "explanations"})
    assert answer["intervals"]["upper"][0] == pytest.approx(answer["predictions"][0] + 30.0)


@pytest.mark.parametrize(
    ("path", "params", "words"),
    [
        ("/explain", {"top": 0}, "top must be a whole number"),
        ("/explain", {"top": True}, "top must be a whole number"),
        ("/explain", {"top": "3"}, "top must be a whole number"),
        ("/explain", {"coverage": 0.9}, "params may hold top, and nothing else"),
        ("/invocations", {"explain": 1}, "explain must be true or false"),
        ("/invocations", {"top": 3}, "top goes with explain: true"),
        ("/invocations", {"explain": True, "coverage": 0.9}, "without intervals"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, rows, path, params, words):
    """Never a silent reading of a parameter."""
    status, answer = asked.call(path, {"dataframe_records": rows[:1], "params": params})
    assert status == 400
    assert words in answer["message"]


def test_a_question_is_bounded(asked, rows, monkeypatch):
    """Explaining costs thousands of predictions a row: a hostile body must not buy an hour of the processor."""
    many = {"dataframe_split": {"columns": list(rows[0]), "data": [list(rows[0].values())] * 100_000}}
    status, answer = asked.call("/explain", many)
    assert (status, answer["message"]) == (413, "more than 1000 rows: send less at once")
    monkeypatch.setattr(
        asked.runtime.scorer.explainer(), "most_rows", 244
    )  # as of a model that is asked itself
    body = {"dataframe_records": rows[:1] * 500}
    for path, more in (("/explain", {}), ("/invocations", {"params": {"explain": True}})):
        status, answer = asked.call(path, body | more)
        assert (status, answer["message"]) == (413, "more than 244 rows to explain: send less at once")
    csv = (",".join(rows[0]) + "\n" + (",".join(map(str, rows[0].values())) + "\n") * 2_000).encode()
    assert asked.call("/explain", csv, kind=b"text/csv")[0] == 413


def test_a_table_is_explained_as_its_rows_are(asked, rows):
    """A file from a spreadsheet is a body, too; what it lacks is named as for predictions."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    status, answer = asked.call("/explain", "\n".join(lines).encode(), kind=b"text/csv")
    assert (status, answer) == asked.call("/explain", {"dataframe_records": rows})
    status, answer = asked.call("/explain", b"month\n1\n", kind=b"text/csv")
    assert (status, "dep_delay" in json.dumps(answer)) == (400, True)
    assert asked.call("/explain", b"x", kind=b"text/plain")[0] == 415


def test_a_version_without_says_why_and_serves_as_before(flights, rows, tmp_path):
    """What was registered before there were reasons is as good otherwise."""
    folder = tmp_path / "old"
    (folder / "scorer").mkdir(parents=True)
    graph, document = scorer_files.read(flights / "scorer")
    written = json.loads(document)
    assert len(written.pop("explain")) == 64
    (folder / "scorer" / "model.onnx").write_bytes(graph)
    (folder / "scorer" / "scorer.json").write_text(json.dumps(written))
    old = Asked(folder)
    assert old.call("/invocations", {"dataframe_records": rows[:1]})[0] == 200
    status, answer = old.call("/explain", {"dataframe_records": rows[:1]})
    assert (status, answer["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert "train it again, without explain=false" in answer["message"]
    assert b"/explain" not in old.runtime.description.openapi
    with pytest.raises(NotExplained):
        Scorer.load(folder / "scorer").explainer()


def test_the_digest_covers_what_explains(flights, tmp_path):
    """Somebody who can write one file of a version must not be able to lend it other reasons."""
    shutil.copytree(flights / "scorer", tmp_path / "scorer")
    file = tmp_path / "scorer" / scorer_files.EXPLAIN_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    for read in (Scorer.load, scorer_files.digest_in):
        with pytest.raises(WrongDigest, match=r"SHA-256 of explain\.safetensors"):
            read(tmp_path / "scorer")
    file.unlink()
    with pytest.raises(Exception, match="cannot be read"):
        scorer_files.digest_in(tmp_path / "scorer")


def test_nothing_is_read_before_somebody_asks(flights, rows):
    """A worker of a thousand models keeps no arrays for questions that never come."""
    fresh = Asked(flights)
    assert fresh.call("/invocations", {"dataframe_records": rows[:1]})[0] == 200
    assert fresh.runtime.scorer._explainer is None
    assert fresh.call("/explain", {"dataframe_records": rows[:1]})[0] == 200
    assert fresh.runtime.scorer._explainer is not None


def test_requests_are_counted_under_a_name_of_their_own(server, rows):
    """Who looks at a dashboard sees what the costly questions are."""
    assert server.call("/explain", {"dataframe_records": rows[:1]})[0] == 200
    assert 'slipway_requests_total{protocol="explain",status="200"}' in server.call("/metrics")[1]


def test_a_stored_row_is_a_training_row_of_the_models_columns_alone(flights):
    """What was excluded is in no file of the version."""
    scorer = Scorer.load(flights / "scorer")
    stored = scorer.explainer().part._reference
    assert stored.shape == (len(scorer.schema.columns),)
    assert np.isfinite(scorer.predict(stored[None, :])).all()
