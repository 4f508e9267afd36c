"""The images, built and run: what is in them, how soon the server answers, how it ends."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import tomllib
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from serving.fetch import fetch
from serving.running import await_port, free_port
from tests.conftest import ROOT
from tests.deploy.containers import Image
from tests.deploy.manifests import KSERVE, KUBERNETES, command_line, objects_in, pods_in
from tests.keys import pair
from tests.serving.conftest import serve
from training.__main__ import main

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]  # the first test builds the image

ROW = {
    **{"month": 7, "weekday": 5, "hour": 17, "dep_delay": 25.5, "carrier": "UA"},
    **{"origin": "EWR", "dest": "SFO", "distance": 2565, "date": "2013-07-05"},
}
USER = 10001
MOST_BYTES = 350e6


@pytest.fixture(scope="module")
def model(flights, tmp_path_factory):
    """A version's folder that every user can read, as a volume has it."""
    folder = tmp_path_factory.mktemp("mounted")
    shutil.copytree(flights, folder / "flights")
    for path in (*folder.parents[:-1], folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return folder / "flights"


def asked(port, path, body=None):
    """Return status and bytes of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/json"} if body else {}
    connection.request("POST" if body else "GET", path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def await_ready(box, port):
    """Return once the server in a container answers rows; what it said where it does not start."""
    try:
        await_port(port)
    except Exception as error:
        raise AssertionError(box.said) from error
    while asked(port, "/readyz")[0] != 200:
        time.sleep(0.05)


@contextmanager
def running(image, tmp_path, model, *options, name="box"):
    """Run the server in a container; give it and its port, once it is ready."""
    port = free_port()
    words = ["--model", "flights=/mnt/model", "--host", "0.0.0.0", "--no-auth", "--port", str(port), *options]
    with image.run(*words, folder=tmp_path / name, mounts=[(model, "/mnt/model")]) as container:
        await_ready(container, port)
        yield container, port


def test_it_answers_bit_for_bit_as_the_server_here_on_a_root_that_nobody_can_write(image, tmp_path, model):
    """As the user 10001, without a right of the kernel's, with nothing else mounted but the model."""
    rows = [ROW, ROW | {"dep_delay": -3.25, "hour": 6}]
    bodies = {
        "/models/flights/predict": json.dumps({"x": rows}).encode(),
        "/models/flights/invocations": json.dumps({"dataframe_records": rows}).encode(),
    }
    seconds = []
    for attempt in range(3):
        began = time.perf_counter()
        with running(image, tmp_path, model, name=f"box{attempt}") as (container, port):
            first = asked(port, *next(iter(bodies.items())))
            seconds.append(time.perf_counter() - began)
            status = dict(
                line.split(":\t", 1)
                for line in Path(f"/proc/{container.pid}/status").read_text().splitlines()
            )
            assert status["Uid"].split() == [str(USER)] * 4
            assert int(status["CapEff"], 16) == 0
            mounts = Path(f"/proc/{container.pid}/mounts").read_text().splitlines()
            root = next(line.split() for line in mounts if line.split()[1] == "/")
            assert "ro" in root[3].split(",")
            answers = [asked(port, path, body) for path, body in bodies.items()]
            status_of_metrics, metrics = asked(port, "/metrics")
    assert (status_of_metrics, b"slipway_" in metrics) == (200, True)
    with serve("--model", f"flights={model}") as here:
        there = int(here.url.rpartition(":")[2])
        assert [asked(there, path, body) for path, body in bodies.items()] == answers
    assert [status for status, _ in (first, *answers)] == [200] * 3
    logger.warning("from crun to the first answer: %.2f s, of three starts: %s", min(seconds), seconds)


def test_it_holds_the_server_and_nothing_else(image):
    """No shell, no package manager, no package of training; of each package of the list, and no other, its files."""
    root = image.root
    (packages,) = (root / "opt/slipway/lib").glob("python3.*/site-packages")
    for absent in ("sklearn", "pandas", "matplotlib", "optuna", "skops", "scipy", "training", "pip"):
        assert not (packages / absent).exists(), absent
    for absent in ("bin/sh", "usr/bin/sh", "bin/bash", "usr/bin/dpkg", "usr/bin/apt"):
        assert not os.path.lexists(root / absent), absent
    held = {
        f"{each.name}=={each.version}".lower().replace("_", "-")
        for each in distributions(path=[str(packages)])
    }
    lines = (ROOT / "deploy/images/serve.txt").read_text().splitlines()
    assert held == {line.split()[0].lower() for line in lines if "==" in line}
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    logger.warning("unpacked: %.1f MB", size / 1e6)
    assert size < MOST_BYTES
    loose = [path for path in root.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022]
    assert loose == [root / "tmp"]
    labels = image.described["config"]["Labels"]
    assert labels["org.opencontainers.image.title"] == "slipway-serve"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?", labels["org.opencontainers.image.revision"])
    assert image.described["config"]["User"] == "10001:10001"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("kind", ["baked", "version"])
def test_a_version_in_an_image_of_its_own_keeps_its_signature(kind, builder, image, tmp_path, monkeypatch):
    """With the server or mounted beside it, built as the page shows, in the folder that `serving.fetch` wrote."""
    keys = pair(tmp_path)
    monkeypatch.setenv("SLIPWAY_SIGNING_KEY", str(keys.private))
    assert main(["sign", "--name", "line", "--version", "1"]) == 0
    fetch("models:/line@champion", tmp_path / "line")
    words = ["-f", f"deploy/images/{kind}.Containerfile", "-t", f"localhost/slipway-line-{kind}"]
    words += ["--build-arg", f"SERVE={image.tag}"] if kind == "baked" else []
    builder.run("buildah", "bud", *words, str(tmp_path / "line"))
    made = Image(builder, f"localhost/slipway-line-{kind}")
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    shutil.copy(keys.public, trusted)
    mounts = [(trusted, "/trusted")]
    if kind == "version":
        assert len(made.layers) == 1
        mounts.append((made.root, "/model"))
    port = free_port()
    options = ["--trust", "/trusted/key.pub", "--host", "0.0.0.0", "--no-auth", "--port", str(port)]
    server = made if kind == "baked" else image
    with server.run("--model", "line=/model", *options, folder=tmp_path / "box", mounts=mounts) as box:
        await_ready(box, port)
        assert asked(port, "/models/line/predict", b'{"x": 3}')[0] == 200
        assert b"slipway_signed" in asked(port, "/metrics")[1]
        assert json.loads(asked(port, "/status")[1])["models"]["line"]["signed"]


def test_a_second_build_has_the_same_layers(builder, image, wheels):
    """Who has the commit can tell what is in an image that he did not build."""
    again = builder.build("serve", "localhost/slipway-again", wheels)
    assert again.layers == image.layers
    assert len(image.layers) == 2


def test_a_registry_is_followed_from_a_container(image, tmp_path, tracking_server):
    """By mlflow-skinny, over HTTP, the files through MLflow's own server; into a cache that is the server's own."""
    port = free_port()
    words = ["--model", "models:/line@champion", "--host", "0.0.0.0", "--no-auth", "--port", str(port)]
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)  # as the kubelet makes an emptyDir: of root, for all to write
    words += ["--cache", "/cache/versions", "--poll-seconds", "0.2"]
    with image.run(
        *words, folder=tmp_path / "box", mounts=[(cache, "/cache")], MLFLOW_TRACKING_URI=tracking_server
    ) as box:
        await_ready(box, port)
        status, answer = asked(port, "/predict", b'{"x": 3}')
        assert status == 200, (answer, box.said)
        assert json.loads(asked(port, "/status")[1])["models"]["line"]["version"] == "1"
    assert list(cache.glob("versions/*/model.onnx"))


def test_kserve_fetches_a_version_and_a_part_is_scored_in_it(image, tmp_path, tracking_server):
    """The storage initializer's command with KServe's volume alone; the Indexed Job's with its own."""
    command = yaml.safe_load((KSERVE / "storage-container.yaml").read_text())["spec"]["container"]["command"]
    folders = {name: tmp_path / name for name in ("models", "table", "tmp")}
    for folder in folders.values():
        folder.mkdir()
        folder.chmod(0o777)
    with image.run(
        *("models:/line@champion", "/mnt/models"),
        entrypoint=command,
        folder=tmp_path / "fetching",
        mounts=[(folders["models"], "/mnt/models")],
        MLFLOW_TRACKING_URI=tracking_server,
    ) as box:
        assert box.wait() == 0, box.said
    assert sorted(path.name for path in folders["models"].rglob("*")) == [
        "explain.safetensors",
        "model.onnx",
        "scorer",
        "scorer.json",
    ]
    (folders["table"] / "part-7.csv").write_text("x\n3\n4.5\n")
    words = [
        "--name",
        "line",
        "--version",
        "1",
        "--input",
        "/table/part-7.csv",
        "--output",
        "/table/out-7.parquet",
    ]
    with image.run(
        *words,
        entrypoint=["/opt/slipway/bin/python", "-m", "serving.batch"],
        folder=tmp_path / "scoring",
        mounts=[(folders["table"], "/table"), (folders["tmp"], "/tmp")],
        HOME="/tmp",
        MLFLOW_TRACKING_URI=tracking_server,
    ) as box:
        assert box.wait() == 0, box.said
    assert pq.read_table(folders["table"] / "out-7.parquet").num_rows == 2


def test_jobs_train_compact_and_watch_as_kubernetes_calls_them(
    train_image, tmp_path, tracking_server, monkeypatch
):
    """The words of the overlay's CronJobs, on a root that nobody writes to; the gate starts a real server in there."""
    folders = {name: tmp_path / name for name in ("data", "captures", "tmp")}
    for folder in folders.values():
        folder.mkdir()
    flights = pd.read_csv(ROOT / "data" / "samples" / "flights.csv").head(1_500).drop(columns="date")
    flights.to_parquet(folders["data"] / "flights.parquet")
    rows = flights.drop(columns="arr_delay").tail(20).to_csv(index=False).encode()

    def done(job, *more, name):
        """Run a CronJob's container to its end; return what it said."""
        for path in (folders["captures"], *folders["captures"].rglob("*"), folders["tmp"]):
            path.chmod(0o777)
        words = [*job_words(job), *more]
        mounts = [(folder, f"/{name}") for name, folder in folders.items()]
        with train_image.run(
            *words,
            folder=tmp_path / name,
            mounts=mounts,
            HOME="/tmp",
            TMPDIR="/tmp",
            MLFLOW_TRACKING_URI=tracking_server,
        ) as box:
            assert box.wait(240) == 0, box.said
            return box.said

    assert "promoted" in done("slipway-retrain", "--trials", "2", "--time_budget", "5", name="training")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    with serve("--model", "models:/flights@champion", "--capture", str(folders["captures"])) as served:
        then = (datetime.now(tz=UTC) - timedelta(days=2)).isoformat(timespec="seconds")
        headers = {"Content-Type": "text/csv", "Ce-Time": then}
        asked_for = urllib.request.Request(f"{served.url}/invocations", rows, headers)
        with urllib.request.urlopen(asked_for, timeout=20) as answer:
            assert answer.headers["X-Model-Version"] == "1"
    assert "20 " in done("slipway-compact", name="compacting")
    assert "watch" in done("slipway-monitor", name="watching")


def job_words(job):
    """Return the words of a CronJob of the overlay."""
    objects = objects_in(KUBERNETES / "overlays" / "retrain")
    ((_, template),) = [each for each in pods_in(objects) if each[0]["metadata"]["name"] == job]
    (container,) = template["spec"]["containers"]
    return command_line(container, objects)


def test_the_jobs_image_has_no_shell_either(train_image):
    """What stands in an image that nobody calls is what an intruder calls."""
    root = train_image.root
    for absent in ("bin/sh", "usr/bin/sh", "bin/bash", "usr/bin/dpkg", "usr/bin/apt"):
        assert not os.path.lexists(root / absent), absent
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    logger.warning("the jobs' image, unpacked: %.1f MB", size / 1e6)


def test_no_request_is_lost_when_it_is_told_to_end(image, tmp_path, model):
    """The first process takes SIGTERM; who learns of it two seconds late finds it open, and has his answer."""
    body = json.dumps({"x": ROW}).encode()
    lost, answered, stop = [], [], threading.Event()

    def ask(port):
        while not stop.is_set():
            try:
                answered.append(asked(port, "/models/flights/predict", body)[0])
            except OSError as error:
                lost.append(error)

    with running(image, tmp_path, model, "--workers", "2", "--drain-delay", "4") as (container, port):
        threads = [threading.Thread(target=ask, args=(port,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        before = len(answered)
        container.signal(signal.SIGTERM)
        time.sleep(1)
        assert asked(port, "/readyz")[0] == 503
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
        code = container.wait()
    assert code == 0, container.said
    assert lost == []
    assert len(answered) > before > 100
    assert set(answered) == {200}
    logger.warning("requests answered until the end: %d, lost: %d", len(answered), len(lost))


def test_it_ends_at_once_while_it_has_nothing_to_serve_yet(image, tmp_path):
    """A kernel ends no first process that has no handler: it would have lived on for the whole grace period."""
    with image.run(
        *("--model", "models:/line@champion", "--host", "0.0.0.0", "--no-auth"),
        folder=tmp_path / "box",
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="7",
    ) as container:
        mapped = Path(f"/proc/{container.pid}/maps")
        while "numpy" not in mapped.read_text():  # it has begun
            time.sleep(0.005)
        time.sleep(0.5)
        began = time.monotonic()
        container.signal(signal.SIGTERM)
        assert container.wait(20) == 0
        assert time.monotonic() - began < 3


def test_its_list_of_packages_is_valid_and_says_what_is_locked(tmp_path, environment_of):
    """CycloneDX by its own tool, which checks what it wrote; the same bytes each time."""
    command = str(environment_of("cyclonedx-bom==7.5.0") / "cyclonedx-py")
    said = []
    for number in (1, 2):
        words = ["requirements", "--output-reproducible", "--of", "JSON", "--validate"]
        out = tmp_path / f"{number}.json"
        words += ["--output-file", str(out), str(ROOT / "deploy/images/serve.txt")]
        subprocess.run([command, *words], check=True, capture_output=True)
        said.append(out.read_bytes())
    assert said[0] == said[1]
    components = json.loads(said[0])["components"]
    assert len(components) > 40
    assert all(each["purl"].startswith("pkg:pypi/") and each["externalReferences"] for each in components)
