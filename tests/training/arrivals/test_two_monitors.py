"""Two monitors of one model at once: one stays, and neither a dead one nor a store that fails stops a later one."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import mlflow
import pytest

from tests.training.arrivals.served_houses import Look, Served, season
from tests.training.arrivals.test_monitor import monitor_run
from training.errors import MonitorBusy, Terminated
from training.records import monitor_run as run_of
from training.records import tag_names
from training.records.runs.processes import this_process
from training.records.watch_run import MonitorRun


def test_of_two_monitors_one_says_so_and_ends_with_2(served: Served, look: Look) -> None:
    """Two would write over each other's state; one that died is taken over."""
    season(served, 2)
    run = run_of("houses")
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with run.alone():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    code, said = look()
    leave.set()
    thread.join()
    assert (code, "another monitor is at work on this model, since " in said) == (2, True), said
    client = mlflow.MlflowClient()
    client.set_tag(run.run_id, tag_names.MONITOR, "2024-07-01T00:00:00+0000 abcd a-boot 1 2 3")
    assert look()[0] == 0
    assert tag_names.MONITOR not in monitor_run().data.tags


def test_of_two_that_begin_at_once_one_stays(served: Served) -> None:
    """Both looked before either had said so."""
    run, ended, left = run_of("houses"), [], threading.Event()

    def begin() -> None:
        try:
            with run.alone():
                ended.append("stayed")
                left.wait(30)  # on a busy machine the other may begin seconds later
        except MonitorBusy:
            ended.append("left")
            left.set()

    both = [threading.Thread(target=begin) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert sorted(ended) == ["left", "stayed"]


@pytest.mark.parametrize(
    ("by_another", "error"), [(True, MonitorBusy), (False, mlflow.exceptions.MlflowException)]
)
def test_a_tag_that_the_database_refuses_is_looked_at_again(
    by_another: bool, error: type[Exception], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that write it in one moment the later one failed by an internal error; a full store still fails."""
    run, client, write = run_of("houses"), mlflow.MlflowClient(), mlflow.MlflowClient.set_tag
    other = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S%z} abcd {this_process()}"

    def refused(*_: str) -> None:
        if by_another:
            write(client, run.run_id, tag_names.MONITOR, other)
        raise mlflow.exceptions.MlflowException("UNIQUE constraint failed")

    monkeypatch.setattr(mlflow.MlflowClient, "set_tag", refused)
    with pytest.raises(error), run.alone():
        pass


def test_who_comes_while_another_keeps_is_found_before_anything_is_written_over(served: Served) -> None:
    """On a slow store two may find their tag: the first one ends, and takes the other's tag away from nobody."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    other = f"{datetime.now(tz=UTC):%Y-%m-%dT%H:%M:%S%z} abcd {this_process()}"

    def begun_twice() -> None:
        with run.alone() as first:
            first.keep("1", {"until": "2024-07-01"})
            client.set_tag(run.run_id, tag_names.MONITOR, other)
            for keep in (lambda: first.keep("1", {}), lambda: first.remember({})):
                with pytest.raises(MonitorBusy):
                    keep()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begun_twice()
    assert run.state("1") == {"until": "2024-07-01"}
    assert monitor_run().data.tags[tag_names.MONITOR] == other


@pytest.mark.parametrize("request_of", ["set_tag", "get_run", "delete_tag"])
def test_who_is_stopped_within_a_request_leaves_no_tag(
    request_of: str, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the server is slow the tag was written after its owner had ended: on another machine it stood for a day."""
    run, real, server = run_of("houses"), getattr(mlflow.MlflowClient, request_of), ThreadPoolExecutor()

    def slowly(*words: Any) -> Any:
        time.sleep(0.3)
        return real(*words)

    def stopped(*words: Any) -> Any:
        monkeypatch.setattr(mlflow.MlflowClient, request_of, real)
        answer = server.submit(slowly, *words)
        os.kill(os.getpid(), signal.SIGTERM)
        return answer.result()

    def terminated(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        if request_of == "set_tag":
            monkeypatch.setattr(mlflow.MlflowClient, request_of, stopped)
        with pytest.raises(Terminated), run.alone():
            monkeypatch.setattr(mlflow.MlflowClient, request_of, stopped)
    finally:
        signal.signal(signal.SIGTERM, before)
        server.shutdown()
    assert tag_names.MONITOR not in monitor_run().data.tags


def test_a_tag_that_could_not_be_taken_away_stops_no_later_monitor_of_the_same_process(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor that follows would wait for itself for a day, once the store had gone down within a look."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    with monkeypatch.context() as patch, run.alone() as first:
        down = mlflow.exceptions.MlflowException("no connection")
        patch.setattr(MonitorRun, "_let_go", lambda _: (_ for _ in ()).throw(down))
    assert monitor_run().data.tags[tag_names.MONITOR] == first.mine
    with run.alone() as second:
        assert client.get_run(run.run_id).data.tags[tag_names.MONITOR] == second.mine


def test_a_store_that_goes_down_while_a_monitor_begins_stops_no_later_one_of_the_same_process(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tag was written, and it never learned that it was its own: it would wait for itself for a day."""
    run, client, held = run_of("houses"), mlflow.MlflowClient(), MonitorRun._held

    def down_after_the_first(self: MonitorRun) -> str:
        if tag_names.MONITOR in monitor_run().data.tags:
            raise mlflow.exceptions.MlflowException("no connection")
        return held(self)

    with monkeypatch.context() as patch:
        patch.setattr(MonitorRun, "_held", down_after_the_first)
        with pytest.raises(mlflow.exceptions.MlflowException, match="no connection"), run.alone():
            pass
    assert tag_names.MONITOR in monitor_run().data.tags
    with run.alone() as second:
        assert client.get_run(run.run_id).data.tags[tag_names.MONITOR] == second.mine


def test_a_tag_that_went_is_written_again(served: Served) -> None:
    """Another one's end took it, or a person: a third monitor would see nobody."""
    run, client = run_of("houses"), mlflow.MlflowClient()
    with run.alone() as alone:
        client.delete_tag(run.run_id, tag_names.MONITOR)
        alone.keep("1", {})
        assert monitor_run().data.tags[tag_names.MONITOR] == alone.mine
    assert tag_names.MONITOR not in monitor_run().data.tags


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        (lambda run: run.keep("1", {"until": "2024-07-01"}), lambda run: run.state("1")),
        (lambda run: run.remember({"begun": "2024-07-01"}), lambda run: run.memory()),
    ],
    ids=["state", "memory"],
)
@pytest.mark.parametrize("error", [mlflow.exceptions.MlflowException("no connection"), OSError("no route")])
def test_what_is_known_and_cannot_be_read_is_not_a_first_day(
    kept: Callable[[MonitorRun], None],
    read: Callable[[MonitorRun], object],
    error: Exception,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Months of evidence, or a training that was begun, would be written over because a store was down for a second."""
    run = run_of("houses")
    assert not read(run)
    kept(run)
    monkeypatch.setattr(mlflow.artifacts, "load_dict", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        read(run)
    assert run.state("2") is None
