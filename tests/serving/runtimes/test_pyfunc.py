"""Models that don't compile, behind the same front: MLflow runs them, the front keeps its promises."""

from __future__ import annotations

import json
import logging
import os
import py_compile
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from mlflow.models import infer_signature
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.neighbors import KNeighborsClassifier

from serving.runtimes.model_processes import pyfunc
from serving.runtimes.model_processes.frames import frame as framed
from serving.runtimes.model_processes.frames import read_frame
from serving.settings import Limits, Model
from tests.registered import copied
from tests.serving.protocols.v2_clients import grpc_port
from tests.serving.runtimes.odd_models import COLUMNS, saved, saved_odd

pytestmark = [pytest.mark.soak, pytest.mark.filterwarnings("ignore::UserWarning:mlflow")]
logger = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def iris() -> pd.DataFrame:
    """Four numbers for each flower."""
    return pd.DataFrame(load_iris().data, columns=COLUMNS)


@pytest.fixture(scope="module")
def kmeans(iris, tmp_path_factory) -> str:
    """Clusters, under a signature of columns."""
    model = KMeans(3, n_init=1, random_state=0).fit(iris)
    folder = tmp_path_factory.mktemp("kmeans") / "clusters"
    return saved(folder, model, signature=infer_signature(iris, model.predict(iris)))


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> str:
    """The model with a will of its own."""
    return saved_odd(tmp_path_factory.mktemp("odd") / "odd")


@pytest.fixture(scope="module")
def clusters(start, kmeans):
    """The k-means, served."""
    with start("--model", f"clusters={kmeans}", "--runtime", "pyfunc", "--grpc-port", "0") as served:
        yield served


@pytest.fixture(scope="module")
def oddly(start, odd):
    """The odd model, served with little patience."""
    with start("--model", odd, "--runtime", "pyfunc", "--joining", "--work-seconds", "3") as served:
        yield served


def records(frame: pd.DataFrame) -> dict[str, Any]:
    """Rows as MLflow has them."""
    return {"dataframe_records": frame.to_dict(orient="records")}


def forms(frame: pd.DataFrame) -> dict[str, Any]:
    """The four forms of JSON."""
    return {
        "dataframe_records": frame.to_dict(orient="records"),
        "dataframe_split": frame.to_dict(orient="split"),
        "instances": frame.to_dict(orient="records"),
        "inputs": frame.to_dict(orient="list"),
    }


def test_bytecode_beside_a_model_s_source_is_not_run(tmp_path) -> None:
    """Of a hash that nobody checks: Python would take it, whatever the source says."""
    source, model = tmp_path / "mod.py", tmp_path / "model"
    source.write_text("FACTOR = 2.0\n")
    (tmp_path / "given.py").write_text(
        "import mlflow\n\nclass Given(mlflow.pyfunc.PythonModel):\n    def predict(self, context, model_input):\n"
        "        import mod\n        return model_input * mod.FACTOR\n\nmlflow.models.set_model(Given())\n"
    )
    signature = infer_signature(pd.DataFrame({"x": [1.0]}), pd.DataFrame({"x": [2.0]}))
    mlflow.pyfunc.save_model(
        model, python_model=str(tmp_path / "given.py"), code_paths=[str(source)], signature=signature
    )
    other = tmp_path / "other.py"
    other.write_text("FACTOR = 666.0\n")
    cached = Path(cache_from_source(str(model / "code" / "mod.py")))
    py_compile.compile(
        str(other), cfile=str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    process = pyfunc.start(Model(str(model), runtime="pyfunc"), Limits(), joins=False)
    try:
        with process.line.makefile("rb") as stream:
            body = b'{"dataframe_records": [{"x": 3.0}]}'
            process.line.sendall(framed({"kinds": ["application/json"]}, [body]))
            head, (said,) = read_frame(stream)
    finally:
        process.end()
    assert (head["statuses"], said) == ([200], b'{"predictions": [{"x": 6.0}]}')


@pytest.mark.parametrize("form", ["dataframe_records", "dataframe_split", "instances", "inputs"])
def test_every_form_gives_what_the_model_says(form, clusters, iris, kmeans) -> None:
    """MLflow's own parser reads it, in the process beside the front."""
    expected = mlflow.pyfunc.load_model(kmeans).predict(iris).tolist()
    status, answer, headers = clusters.call("/models/clusters/invocations", {form: forms(iris)[form]})
    assert (status, answer) == (200, {"predictions": expected})
    assert headers["x-model-version"] == "0"


def test_the_other_doors_give_the_same(clusters, iris) -> None:
    """CSV, /predict, V2 by columns, V2 packed, and gRPC."""
    rows = iris.head(5)
    expected = clusters.call("/models/clusters/invocations", records(rows))[1]["predictions"]
    csv = rows.to_csv(index=False).encode()
    answer = clusters.call("/models/clusters/invocations", csv, headers={"Content-Type": "text/csv"})
    assert answer[1]["predictions"] == expected
    assert clusters.call("/models/clusters/predict", {"x": rows.iloc[0].to_dict()})[1] == {"y": expected[0]}
    inputs = [
        {"name": name, "shape": [5], "datatype": "FP64", "data": rows[name].tolist()} for name in COLUMNS
    ]
    answer = clusters.call("/v2/models/clusters/infer", {"inputs": inputs})[1]["outputs"]
    assert answer == [{"name": "prediction", "datatype": "INT64", "shape": [5], "data": expected}]
    port = grpc_port(clusters.process.pid, int(clusters.url.rpartition(":")[2]))
    for client, address in (
        (triton_grpc, f"127.0.0.1:{port}"),
        (triton_http, clusters.url.removeprefix("http://")),
    ):
        with client.InferenceServerClient(address) as door:
            packed = client.InferInput("rows", [5, 4], "FP64")
            packed.set_data_from_numpy(rows.to_numpy())
            assert door.infer("clusters", [packed]).as_numpy("prediction").tolist() == expected
    metadata = clusters.call("/v2/models/clusters")[1]
    assert (metadata["platform"], [each["name"] for each in metadata["inputs"]]) == ("mlflow_pyfunc", COLUMNS)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"dataframe_records": [{"sepal": 1.0}]}, 400, "missing inputs"),
        ({"dataframe_records": [dict.fromkeys(COLUMNS, "wide")]}, 400, "could not convert"),
        ({"rows": []}, 400, "exactly one of"),
        (b"{", 400, "not valid JSON"),
        (b'{"inputs": [1], "inputs": [2]}', 400, "same key twice"),
        (b'{"inputs": NaN}', 400, "not valid JSON"),
        ([1], 400, "must be an object"),
    ],
)
def test_the_signature_and_the_fronts_strictness_hold(body, status, says, clusters) -> None:
    """One line, the status, and no data or traceback quoted."""
    found, answer, _ = clusters.call("/models/clusters/invocations", body)
    assert (found, says in answer["message"]) == (status, True), answer
    assert "Traceback" not in json.dumps(answer)


def test_the_first_protocol_reaches_mlflow_too(clusters, iris) -> None:
    """Rows by name and in the signature's order, columns; a wrong width is named before MLflow sees it."""
    rows = iris.iloc[::30]
    expected = clusters.call("/models/clusters/invocations", {"dataframe_records": rows.to_dict("records")})[
        1
    ]
    for body in (
        {"instances": rows.to_dict("records")},
        {"instances": rows.to_numpy().tolist()},
        {"inputs": rows.to_dict("list")},
    ):
        status, answer, _ = clusters.call("/v1/models/clusters:predict", body)
        assert (status, answer["predictions"]) == (200, expected["predictions"])
        assert answer.get("outputs", expected["predictions"]) == expected["predictions"]
    status, answer, _ = clusters.call("/v1/models/clusters:predict", {"instances": [[1.0, 2.0]]})
    assert (status, "a list of 4 values" in answer["error"]) == (400, True)
    assert clusters.call("/v1/models/clusters:predict", {"instances": [[2**70] * 4]})[0] == 400
    marked = json.dumps({"dataframe_records": rows.to_dict("records")}).encode("utf-8-sig")
    assert clusters.call("/models/clusters/invocations", marked)[:2] == (200, expected)


def test_requests_that_wait_are_joined_and_those_that_need_not_do_not_wait(oddly) -> None:
    """While one takes 0.3 s others queue and come back together; alone, a request is quick."""
    ask = lambda value: oddly.call("/invocations", {"dataframe_records": [{"x": value}]})  # noqa: E731
    assert ask(1.0)[1] == {"predictions": [2.0]}
    began = time.perf_counter()
    ask(1.0)
    assert time.perf_counter() - began < 0.2
    with ThreadPoolExecutor(20) as clients:
        slow = clients.submit(ask, -4.0)
        time.sleep(0.1)
        answers = list(clients.map(ask, np.arange(1.0, 17.0)))
        assert slow.result()[1] == {"predictions": [-8.0]}
    assert [answer[1]["predictions"] for answer in answers] == [[2.0 * value] for value in range(1, 17)]


def test_an_error_of_the_model_stays_its_own(oddly) -> None:
    """400 as stock MLflow has it, without the model's words; others in the same batch are answered."""
    ask = lambda value: oddly.call("/invocations", {"dataframe_records": [{"x": value}]})  # noqa: E731
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(ask, [-4.0, 1.0, -1.0, 2.0, -1.0, 3.0]))
    assert [each[0] for each in found] == [200, 200, 400, 200, 400, 200]
    assert "ValueError" in found[2][1]["message"]
    assert "secret" not in json.dumps(found[2][1])


def test_a_model_that_prints_does_not_wait_for_a_reader(oddly) -> None:
    """Keras draws a progress bar for each call; nobody reads the server's output after its first line."""
    for _ in range(3):
        answer = oddly.call("/invocations", {"dataframe_records": [{"x": -5.0}]})
        assert answer[:2] == (200, {"predictions": [-10.0]})


@pytest.mark.parametrize(("value", "status"), [(-3.0, 503), (-2.0, 504)])
def test_a_process_that_dies_or_hangs_is_replaced(value, status, oddly) -> None:
    """Its request gets 503 or 504, and soon the model answers again, from another process."""
    before = {each.pid for each in psutil.Process(oddly.process.pid).children(recursive=True)}
    found, answer, _ = oddly.call("/invocations", {"dataframe_records": [{"x": value}]})
    assert (found, "error_code" in answer) == (status, True)
    wait_until_it_answers(oddly)
    after = {each.pid for each in psutil.Process(oddly.process.pid).children(recursive=True)}
    assert len(after) == len(before)
    assert after != before


def wait_until_it_answers(served: Any) -> None:
    """Return once the model's process is back."""
    for _ in range(300):
        if served.call("/invocations", {"dataframe_records": [{"x": 1.0}]})[0] == 200:
            return
        time.sleep(0.1)
    raise AssertionError("it did not come back")


def test_memory_does_not_grow_with_processes_that_die_or_hang(start, odd) -> None:
    """Six times eight bodies of 1 MB at once, one of them deadly: after the first round nothing is kept."""
    with start("--model", odd, "--runtime", "pyfunc", "--joining", "--work-seconds", "3") as served:
        (worker,) = (
            each
            for each in psutil.Process(served.process.pid).children(recursive=True)
            if "serving.worker" in each.cmdline()
        )
        kept = []
        for deadly in (-3.0, -2.0, -3.0, -3.0, -2.0, -3.0):
            values = [1.0, 1.0, 1.0, deadly, 1.0, 1.0, 1.0, 1.0]
            bodies = [{"dataframe_records": [{"x": value}], "note": "much " * 200_000} for value in values]
            with ThreadPoolExecutor(8) as clients:
                found = list(clients.map(lambda body: served.call("/invocations", body)[0], bodies))
            assert found[3] == (503 if deadly == -3.0 else 504)
            assert set(found) <= {200, 503, 504}
            wait_until_it_answers(served)
            assert len(worker.children()) == 1
            kept.append((worker.memory_info().rss, worker.num_fds()))
        logger.warning("the front's MB after each round: %s", [memory >> 20 for memory, _ in kept])
        assert kept[-1][0] < kept[0][0] + 20 * 2**20
        assert kept[-1][1] <= kept[0][1]


def test_a_model_that_cannot_be_loaded_is_refused_at_the_start(start, tmp_path) -> None:
    """Exit code 3 and the reason; a folder without a model is the user's mistake."""
    import subprocess
    import sys

    (tmp_path / "MLmodel").write_text("flavors: {}\n")
    for folder, code, says in ((tmp_path, 3, "cannot be loaded"), (tmp_path / "none", 2, "a file MLmodel")):
        command = [
            sys.executable,
            "-m",
            "serving",
            "--model",
            str(folder),
            "--runtime",
            "pyfunc",
            "--port",
            "0",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr


def test_no_process_is_left_when_the_front_is_killed(start, kmeans) -> None:
    """The line ends, and so do they."""
    with start("--model", kmeans, "--runtime", "pyfunc", "--processes", "2") as served:
        family = psutil.Process(served.process.pid).children(recursive=True)
        assert len(family) == 3
        worker = next(each for each in family if "serving.worker" in each.cmdline())
        runners = [each for each in family if each is not worker]
        os.kill(worker.pid, signal.SIGKILL)
        _, alive = psutil.wait_procs(runners, timeout=20)
        assert not alive


def test_a_promoted_version_comes_into_service_without_a_lost_request(
    empty_store, start, iris, tmp_path
) -> None:
    """The registry's alias is followed, whatever the model is."""
    copied(empty_store.parent, tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    client.create_registered_model("clusters")
    for clusters in (2, 3):
        model = KMeans(clusters, n_init=1, random_state=0).fit(iris)
        folder = saved(tmp_path / str(clusters), model, signature=infer_signature(iris, model.predict(iris)))
        client.create_model_version("clusters", folder)
    client.set_registered_model_alias("clusters", "champion", "1")
    options = ["--runtime", "pyfunc", "--poll-seconds", "0.2", "--cache", str(tmp_path / "cache")]
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        with start("--model", "models:/clusters@champion", *options) as served:
            assert served.call("/invocations", records(iris))[2]["x-model-version"] == "1"
            client.set_registered_model_alias("clusters", "champion", "2")
            seen = set()
            for _ in range(600):
                status, answer, headers = served.call("/invocations", records(iris))
                seen.add((status, headers["x-model-version"], len(set(answer["predictions"]))))
                if headers["x-model-version"] == "2":
                    break
                time.sleep(0.05)
            assert seen == {(200, "1", 2), (200, "2", 3)}
            runners = psutil.Process(served.process.pid).children(recursive=True)
            time.sleep(1.0)  # several polls: nothing is loaded again for the same version
            assert len(psutil.Process(served.process.pid).children(recursive=True)) == len(runners)
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]


def test_limits_hold_in_every_form(start, kmeans, iris) -> None:
    """Rows in JSON, with parameters, in CSV and in tensors; coverage, which such a model has not."""
    with start("--model", f"m={kmeans}", "--runtime", "pyfunc", "--rows", "10") as served:
        many = iris.head(11)
        path, csv = "/models/m/invocations", {"Content-Type": "text/csv"}
        inputs = [
            {"name": name, "shape": [11], "datatype": "FP64", "data": many[name].tolist()} for name in COLUMNS
        ]
        for found in (
            served.call(path, records(many)),
            served.call(path, records(many) | {"params": {"a": 1}}),
            served.call(path, many.to_csv(index=False).encode(), headers=csv),
            served.call("/v2/models/m/infer", {"inputs": inputs}),
        ):
            assert found[0] == 413, found
        assert served.call(path + "?coverage=0.9", records(iris.head(1)))[0] == 400
        inputs[0]["shape"] = [12]
        assert served.call("/v2/models/m/infer", {"inputs": inputs})[0] == 400
        assert served.call(path, records(iris.head(10)))[0] == 200
        time.sleep(0.5)
        assert "slipway_rows_total 10.0" in served.call("/metrics")[1]


def test_what_goes_with_pyfunc_is_refused_without_it(flights) -> None:
    """Options that would do nothing."""
    import subprocess
    import sys

    for words in (["--processes", "2"], ["--joining"], ["--no-joining"]):
        command = [sys.executable, "-m", "serving", "--model", str(flights), "--port", "0", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, "go with --runtime pyfunc" in done.stderr) == (2, True)


def test_a_remembered_version_is_used_for_the_runtime_it_was_fetched_for(tmp_path) -> None:
    """Without a registry, a start without --runtime pyfunc must not run a model's own code."""
    from serving.registry import Cache, ResolvedVersion
    from serving.settings import Model

    cache, found = Cache(tmp_path), ResolvedVersion("models:/m/1", "m", "1")
    place = cache._place_of_whole(found)
    place.mkdir()
    model = Model(str(place), name="m", version="1", runtime="pyfunc")
    cache.remember("models:/m@champion", model, found)
    assert cache.recall("models:/m@champion", "pyfunc") == (model, found)
    assert cache.recall("models:/m@champion") is None


def test_images_go_in_as_tensors_and_memory_stays(start, tmp_path) -> None:
    """The digits, 8 by 8, under a tensor signature; three hundred requests leave the process as large."""
    digits = load_digits()
    model = KNeighborsClassifier(3).fit(digits.data[:500], digits.target[:500])
    signature = infer_signature(digits.data[:500], model.predict(digits.data[:2]))
    folder = saved(tmp_path / "digits", model, signature=signature)
    with start("--model", folder, "--runtime", "pyfunc") as served:
        image = {"name": "image", "shape": [2, 64], "datatype": "FP64", "data": digits.data[:2].tolist()}
        answer = served.call("/v2/models/digits/infer", {"inputs": [image]})[1]
        assert answer["outputs"][0]["data"] == [0, 1]
        runner = psutil.Process(served.process.pid).children(recursive=True)[-1]
        body = {"inputs": digits.data[:50].tolist()}
        for _ in range(30):
            served.call("/invocations", body)
        before = runner.memory_info().rss
        for _ in range(300):
            assert served.call("/invocations", body)[0] == 200
        assert runner.memory_info().rss < before + 20 * 2**20
