"""A registry of one model whose versions prove themselves by what they predict, and clients that hold them to it."""

from __future__ import annotations

import threading
import time
from functools import partial

from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from tests.recorded import recorded
from tests.serving import processes
from tests.serving.fleet.paced_load import STEP

POLL = 0.25

until = partial(processes.until, seconds=20.0)


class Registry:
    """A registry of one model, `line`, on SQLite, whose versions are a constant apart."""

    def __init__(self, workspace, sources, monkeypatch) -> None:
        import mlflow

        self.folder = workspace.folder
        self.sources = sources
        self.uri = workspace.uri
        self.cache = workspace.folder / "cache"
        self.client = mlflow.MlflowClient(workspace.uri)
        self.client.create_registered_model("line")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", workspace.uri)
        for number in range(len(sources)):
            self.add(number)
        self.point(1)

    def add(self, number, *, pinned=True, source=None):
        """Register a version; return its number."""
        source = source or self.sources[number]
        tags = {PINNED_TAG: digest_in(self.sources[number] / "scorer")} if pinned else {}
        return self.client.create_model_version("line", str(source), tags=tags).version

    def point(self, number):
        """Move the alias."""
        self.client.set_registered_model_alias("line", "champion", str(number))

    def options(self, *more):
        """The options of a server that follows the alias."""
        return [
            "--model",
            "models:/line@champion",
            "--poll-seconds",
            str(POLL),
            "--cache",
            str(self.cache),
            *more,
        ]


def answered(served, path="/predict"):
    """Return which version answers by its header; its prediction must be that version's."""
    status, body, headers = served.call(path, {"x": 3})
    assert status == 200, body
    version = headers["X-Model-Version"]
    assert round((body["y"] - 11) / STEP) == int(version), (body, version)
    return version


def status(served, key="line"):
    """Return the model's part of /status."""
    return served.call("/status")[1]["models"][key]


class Load:
    """A client that asks without a break, a connection each; counts what failed or was wrong."""

    def __init__(self, served) -> None:
        self.served = served
        self.good = self.failed = 0
        self.wrong = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                answered(self.served)
                self.good += 1
            except AssertionError as error:
                self.wrong.append(error)
            except OSError:
                self.failed += 1
            time.sleep(0.002)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(30)


def held(load, fault, did, *, most_lost=0):
    """Check what was lost, and that docs/reliability.md says it."""
    assert load.good > 5
    assert not load.wrong
    assert load.failed <= most_lost
    recorded("reliability", fault, did, "nothing" if not most_lost else "the requests in that worker")
