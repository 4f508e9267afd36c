"""The monitor on captures, killed for real before each of its steps: the next call comes to the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.conftest import ROOT, Workspace
from tests.training.arrivals.served_houses import Served, history, season
from tests.training.arrivals.test_monitor import monitor_run
from tests.training.arrivals.watched_houses import Put
from training.__main__ import main
from training.arrivals import nights
from training.jobs import monitor
from training.records import monitor_run as run_of
from training.records.watch_run import MonitorRun

COMMAND = ["monitor", "--name", "houses", "--independent", "true", "--captures", "captures"]
NAMES = ("rows", "rmse", "evidence_inputs", "evidence_errors", "evidence_harm", "labelled_share", "alarms")

WRITES: list[tuple[Any, str]] = [
    *((os, name) for name in ("replace", "rename", "unlink", "fsync")),
    *(
        (mlflow.MlflowClient, name)
        for name in ("create_experiment", "create_run", "set_tag", "delete_tag", "log_batch", "log_dict")
    ),
    *((mlflow.MlflowClient, name) for name in ("log_text", "set_terminated")),
]
"""What the monitor writes with: in the folder of captures, and in MLflow."""

PROCESSES = multiprocessing.get_context("forkserver")
"""Each a fork of one that has imported all and opened nothing."""

IMPORTED = (
    *(__name__, monitor.__name__, "matplotlib.backends.backend_agg", "sqlalchemy.dialects.sqlite"),
    *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
)


def die_before(step: int) -> None:
    """End this process by the real signal before a write, counted from 0."""
    steps = count()

    def deadly(write: Callable[..., Any], *, is_of_files: bool) -> Callable[..., Any]:
        def wrapped(*words: Any, **more: Any) -> Any:
            counts = not is_of_files or isinstance(words[0], int) or "captures" in Path(words[0]).parts
            if counts and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*words, **more)

        return wrapped

    for place, name in WRITES:
        setattr(place, name, deadly(getattr(place, name), is_of_files=place is os))


def begin(folder: str) -> None:
    """Keep each day on its own, and draw nothing: pictures take half of the time."""
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = (
        f"sqlite:///{folder}/mlflow.db"  # the fork server may be another test's
    )
    nights.KEPT_EVERY = -1.0
    monitor.watch_page.page = lambda _: "the page"  # type: ignore[attr-defined]


def look(folder: str, step: int) -> None:
    """Look as the command does, and die before a step."""
    begin(folder)
    die_before(step)
    main(COMMAND)


def look_again(folder: str, said: str) -> None:
    """Look to the end; write what was known before, each state that was kept, and the figures."""
    begin(folder)
    before, keep, kept = run_of("houses").state("1"), MonitorRun.keep, []

    def noted(run: MonitorRun, version: str, state: dict[str, Any]) -> None:
        keep(run, version, state)
        kept.append(run.state(version))

    MonitorRun.keep = noted  # type: ignore[method-assign]
    code = main(COMMAND)
    tag = monitor_run().data.tags.get("slipway.monitor", "")
    figures = {name: history(name) for name in NAMES}
    words = {"code": code, "tag": tag, "before": before, "kept": kept, "figures": figures}
    Path(said).write_text(json.dumps(words))


def ended(target: Callable[..., None], *words: object) -> int:
    """Run it in a process of its own; return its exit code."""
    process = PROCESSES.Process(target=target, args=words)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_kill_before_any_step_leaves_the_state_before_or_after_and_comes_to_the_same(
    tracking: Workspace, put_houses: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While days are compacted, seen, logged and kept, the page written, the run closed: no row twice, none lost."""
    put_houses()
    season(Served.of(tracking.folder), 2)
    folder, made, said = tracking.folder, tmp_path / "made", tmp_path / "said.json"
    shutil.copytree(folder, made)
    multiprocessing.set_forkserver_preload(list(IMPORTED))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)

    def looked(step: int) -> dict[str, Any] | None:
        """Kill a call, and make another one; None where the first one ended before that step."""
        shutil.rmtree(folder)
        shutil.copytree(made, folder)
        code = ended(look, str(folder), step)
        assert code in (0, -signal.SIGKILL)
        assert ended(look_again, str(folder), str(said)) == 0
        result: dict[str, Any] = json.loads(said.read_text())
        return None if code == 0 else result

    first = looked(0)
    assert first is not None
    assert (first["code"], first["before"], len(first["kept"])) == (0, None, 3)
    states = [None, *first["kept"]]
    for step in count(1, 3):  # a third of all, each of which takes four seconds
        again = looked(step)
        if again is None:
            break
        assert again["before"] in states, f"step {step}"
        assert (again["kept"][-1], again["figures"]) == (states[-1], first["figures"]), f"step {step}"
        assert (again["code"], again["tag"]) == (0, "")
    assert step > 20
