"""Where a server finds itself in a container: no home, no user, nothing to write to, no room."""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.errors import ServerFailed
from tests.conftest import ROOT, missing_part
from tests.recorded import recorded
from tests.serving.conftest import serve
from tests.serving.fleet.followed import answered
from tests.serving.processes import processes_of, until

BARE = {
    **os.environ,
    **dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR", "MLFLOW_TRACKING_URI")),
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPATH": str(ROOT),
}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount or another user")


@contextmanager
def serve_in(words, options, environment):
    """Start a server behind other words, such as `unshare`; what it says goes to a list."""
    environment = {name: value for name, value in environment.items() if value is not None}
    said = []
    with tempfile.TemporaryFile("w+") as log:
        try:
            with serve(*options, before=words, cwd="/", env=environment, stderr=log) as served:
                yield served, said
        except ServerFailed:
            yield None, said
        log.seek(0)
        said += log.read().splitlines()


BOX = """
mount --bind /dev/null /etc/passwd
[ ! -e /etc/nsswitch.conf ] || mount --bind /dev/null /etc/nsswitch.conf  # systemd knows root without an entry
for each in {folders}; do [ -d $each ] || continue; mount --bind $each $each && mount -o remount,ro,bind $each; done
cd /proc && exec "$@"
"""


def box(*read_only):
    """Words that run a command as nobody's user, in a folder that cannot be written, with others that cannot either."""
    if not shutil.which("unshare"):
        missing_part("unshare")
    return ["unshare", "--mount", "sh", "-c", BOX.format(folders=" ".join(read_only)), "sh"]


@pytest.mark.soak
@as_root
@pytest.mark.parametrize("given", [True, False])
def test_a_user_without_a_home_is_served(registry, given):
    """`docker run --user 12345`: there is no HOME and nobody to ask for one."""
    options = ["--model", "models:/line@champion", *(["--cache", str(registry.cache)] if given else [])]
    with serve_in(box(), options, BARE | {"MLFLOW_TRACKING_URI": registry.uri}) as (served, said):
        assert answered(served) == "1"
    assert not [each for each in said if "Traceback" in each]
    assert given == (not [each for each in said if "versions are kept in" in each]), said


@as_root
def test_a_read_only_root_is_served_from_memory(line):
    """`docker run --read-only --user 12345`: /dev/shm is all that can be written."""
    words = box("/tmp", "/var/tmp", "/usr/tmp")
    before = set(Path("/dev/shm").glob("slipway-*"))
    with serve_in(words, ["--model", str(line)], BARE) as (served, said):
        assert served.call("/predict", {"x": 3})[0] == 200
        assert served.call("/metrics")[0] == 200
    assert said == []
    assert set(Path("/dev/shm").glob("slipway-*")) <= before
    recorded("reliability", "read-only root, no temporary folder", "kept its files in /dev/shm", "nothing")


@pytest.mark.soak
@as_root
def test_a_machine_without_any_room_is_served_without_metrics(line, registry):
    """Not even /dev/shm: one line, and predictions. A version from a registry needs a folder: one line, exit 2."""
    words = box("/tmp", "/var/tmp", "/usr/tmp", "/dev/shm")
    with serve_in(words, ["--model", str(line)], BARE) as (served, said):
        assert served.call("/predict", {"x": 3})[0] == 200
        assert served.call("/metrics")[0] == 503
    assert "/metrics is off" in said[0]
    assert len([each for each in said if "WARNING" in each or "ERROR" in each]) == 1
    with serve_in(
        words, ["--model", "models:/line@champion"], BARE | {"MLFLOW_TRACKING_URI": registry.uri}
    ) as (served, said):
        assert served is None
    assert "there is no folder to keep versions in" in said[-1]
    assert not [each for each in said if "Traceback" in each]
    recorded(
        "reliability",
        "no folder at all that can be written",
        "served a local model, said that /metrics is off",
        "metrics",
    )


@pytest.fixture
def small(tmp_path):
    """A file system of 1 MiB of memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False).returncode:
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@as_root
def test_a_full_temporary_folder_costs_metrics_and_nothing_else(start, line, small, monkeypatch, capfd):
    """A new worker writes its figures through memory, where a full disk is SIGBUS: again and again, without a word."""
    monkeypatch.setenv("TMPDIR", str(small))
    with start("--model", str(line)) as served:
        filled = (small / "filled").open("wb")
        with pytest.raises(OSError, match="No space"), filled:
            while True:
                filled.write(b"x" * 4096)
                filled.flush()
        (first,) = processes_of(served)
        first.kill()
        until(lambda: processes_of(served) not in ([], [first]))
        for _ in range(20):
            assert served.call("/predict", {"x": 3})[0] == 200
            assert served.call("/predict", {"x": "three"})[0] == 400
        assert served.call("/metrics")[0] == 503
        (second,) = processes_of(served)
        (small / "filled").unlink()
        second.kill()
        until(lambda: processes_of(served) not in ([], [second]))
        until(lambda: served.call("/metrics")[0] == 200)
    said = capfd.readouterr().err
    assert said.count("serves without metrics") == 1
    assert "No space left on device" in said
    recorded(
        "reliability",
        "temporary folder full, worker killed",
        "replaced the worker, which serves without metrics and says so",
        "metrics of that worker",
    )


@as_root
def test_figures_that_need_more_room_than_there_is_are_left_out(line, small, monkeypatch):
    """The files grow with columns and versions; the request that would make them grow is answered."""
    import prometheus_client.values

    from serving.front.telemetry import Telemetry

    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(small))
    monkeypatch.setattr(prometheus_client.values, "ValueClass", prometheus_client.values.MultiProcessValue())
    monkeypatch.setattr(prometheus_client.values, "MmapedDict", prometheus_client.values.MmapedDict)
    telemetry = Telemetry()
    for number in range(8000):  # 1 MB at 130 bytes each
        telemetry.noticed("unseen_categories", {f"column {number}": 1})
    assert b"column 100" in telemetry.exposition()
    assert telemetry._full
    prometheus_client.values.ValueClass.close_all_files()


def test_what_a_killed_server_left_behind_is_thrown_away(start, line, tmp_path, monkeypatch):
    """Kill -9 gives it no chance to; the next start does it, and lets a living server's folder be."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "slipway-other").mkdir()  # a folder of that name that is no server's
    with start("--model", str(line)) as living:
        with start("--model", str(line)) as killed:
            assert len(list(tmp_path.glob("slipway-*"))) == 3
            workers = processes_of(killed)
            killed.process.kill()
            killed.process.wait()
            until(lambda: not any(worker.is_running() for worker in workers))
        with start("--model", str(line)):
            assert len(list(tmp_path.glob("slipway-*"))) == 3
        assert living.call("/metrics")[0] == 200
    assert [path.name for path in tmp_path.glob("slipway-*")] == ["slipway-other"]
    recorded(
        "reliability",
        "kill -9 of the parent",
        "ended the workers; the next start removed its files",
        "the requests in it",
    )
