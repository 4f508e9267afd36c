"""The follower with a real registry, real workers, and the faults that it must live through."""

from __future__ import annotations

import os
import shutil
import signal
import time

import psutil

from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from tests.serving.fleet.followed import POLL, Load, answered, held, status, until
from tests.serving.processes import pace, processes_of


def test_a_moved_alias_is_served_and_a_rollback_is_quicker(start, registry):
    """Poll + 1 s to a new version, less back to a warm one; `python -m benchmarks moves` has the figures."""
    with start(*registry.options("--workers", "2")) as served:
        assert answered(served) == "1"
        until(
            lambda: processes_of(served, "serving.runtimes.rehearsal")
        )  # it waits for the next version, ready
        busy = pace()
        registry.point(2)
        assert until(lambda: answered(served) == "2") < (POLL + 1) * busy
        time.sleep(0.1)
        assert {answered(served) for _ in range(20)} == {"2"}
        until(lambda: status(served)["state"] == "READY" and status(served)["version"] == "2")
        registry.point(1)
        assert until(lambda: answered(served) == "1") < (POLL + 0.5) * busy
        ready = 'slipway_state{model="line",state="READY"} 1.0'
        until(lambda: ready in served.call("/metrics")[1])  # a worker is told its state after the swap
        metrics = served.call("/metrics")[1]
        assert 'slipway_answers_total{model="line",version="2"}' in metrics
        assert 'slipway_registry_stale_seconds{model="line"}' in metrics


def test_a_deleted_alias_changes_nothing_until_it_is_back(start, registry):
    """An alias is deleted by a slip; production goes on, and says so."""
    with start(*registry.options()) as served, Load(served) as load:
        registry.client.delete_registered_model_alias("line", "champion")
        until(lambda: "stays" in status(served)["registry"])
        assert status(served)["serving"]["version"] == answered(served) == "1"
        registry.point(2)
        until(lambda: answered(served) == "2")
        until(lambda: not status(served)["registry"])
    held(load, "alias deleted, set again", "served on, said so in /status; followed the new alias")


def altered(source, folder, change):
    """Copy a version's folder and change one of its files."""
    shutil.copytree(source, folder)
    change(folder / "scorer")
    return folder


def test_a_version_that_fails_a_check_is_refused_once(start, registry, sources, tmp_path):
    """Never promoted, other files than promoted, or golden rows that don't come out."""
    document = (sources[1] / "scorer" / "scorer.json").read_text()

    def shift_golden(scorer):
        (scorer / "scorer.json").write_text(document.replace('"prediction": ', '"prediction": 1', 1))

    def other_bytes(scorer):
        (scorer / "scorer.json").write_text(document.replace('"y"', '"z"'))

    def no_scorer(scorer):
        shutil.rmtree(scorer)

    golden = altered(sources[1], tmp_path / "golden", shift_golden)
    pin = {PINNED_TAG: digest_in(golden / "scorer")}
    cases = [
        ("never promoted", registry.add(1, pinned=False), "never promoted"),
        ("files changed since the promotion", registry.add(
            1, source=altered(sources[1], tmp_path / "bytes", other_bytes)), "digest is"),
        ("golden rows differ", registry.client.create_model_version(
            "line", str(golden), tags=pin).version, "golden row 0"),
        ("version without scorer/", registry.add(
            1, source=altered(sources[1], tmp_path / "foreign", no_scorer)), "made elsewhere"),
    ]  # fmt: skip
    with start(*registry.options("--workers", "2")) as served:
        for fault, version, reason in cases:
            with Load(served) as load:
                registry.point(version)
                until(lambda reason=reason: reason in str(status(served)))
                assert answered(served) == "1"
                until(lambda: status(served)["state"] == "REFUSED")  # each worker is told in its turn
                time.sleep(2 * POLL)
            held(load, f"new version: {fault}", "refused it with the reason in /status; served on")
        registry.point(2)
        until(lambda: answered(served) == "2")


def entry_of(registry, number):
    """Return the folder of a version in the cache."""
    return registry.cache / digest_in(registry.sources[number - 1] / "scorer")


def test_a_corrupted_cache_is_mended_and_workers_still_start(start, registry):
    """A worker that dies later loads the same files again: they must be the same."""
    with start(*registry.options()) as served:
        with Load(served) as load:
            (entry_of(registry, 1) / "model.onnx").write_bytes(b"broken")
            time.sleep(POLL)
            until(lambda: digest_in_or_none(entry_of(registry, 1)) == entry_of(registry, 1).name)
        held(load, "file in the cache overwritten", "fetched it again within a poll; served on")
        os.kill(processes_of(served)[0].pid, signal.SIGKILL)
        assert answered(served) == "1"


def digest_in_or_none(folder):
    try:
        return digest_in(folder)
    except Exception:
        return None


def test_a_half_written_cache_is_thrown_away(start, registry):
    """Kill -9 in the middle of a download, or a disk that lost its end."""
    entry = entry_of(registry, 1)
    entry.mkdir(parents=True)
    whole = (registry.sources[0] / "scorer" / "model.onnx").read_bytes()
    (entry / "model.onnx").write_bytes(whole[: len(whole) // 2])
    (registry.cache / "new-killed").mkdir()
    with start(*registry.options()) as served, Load(served) as load:
        assert digest_in(entry) == entry.name
        time.sleep(POLL)
    held(load, "half-written cache entry at the start", "threw it away, fetched it again, started")


def test_a_full_disk_delays_the_next_version(start, registry):
    """The limit is the kernel's own: no byte more is written by the parent."""
    with start(*registry.options()) as served, Load(served) as load:
        parent = psutil.Process(served.process.pid)
        before = parent.rlimit(psutil.RLIMIT_FSIZE)
        parent.rlimit(psutil.RLIMIT_FSIZE, (10, before[1]))
        registry.point(2)
        until(lambda: "cannot be used now" in status(served)["registry"])
        assert answered(served) == "1"
        assert not entry_of(registry, 2).exists()
        parent.rlimit(psutil.RLIMIT_FSIZE, before)
        until(lambda: answered(served) == "2")
    held(load, "no space for a download", "served on, said so; took the version when there was room")


def test_a_killed_worker_loses_only_its_own_requests(start, registry):
    """Kill -9 under load: one client has at most one request in it."""
    with start(*registry.options("--workers", "2")) as served, Load(served) as load:
        time.sleep(0.5)
        os.kill(processes_of(served)[0].pid, signal.SIGKILL)
        until(lambda: len(processes_of(served)) == 2)
        registry.point(2)
        until(lambda: answered(served) == "2")
        time.sleep(1.5)
    held(load, "kill -9 of a worker", "replaced it, with the version of the others", most_lost=1)


def test_sighup_replaces_all_workers_without_a_loss(start, registry):
    """A deployment's own way to have fresh processes."""
    with start(*registry.options("--workers", "2")) as served:
        before = {worker.pid for worker in processes_of(served)}
        with Load(served) as load:
            served.process.send_signal(signal.SIGHUP)
            until(lambda: not before & {worker.pid for worker in processes_of(served)})
            until(lambda: len(processes_of(served)) == 2)
        held(load, "SIGHUP", "replaced the workers one after the other")
