"""Whose model the cache gives back, and whose cache is believed."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import mlflow
import pytest

from serving.fleet.following import Followed, Rules
from serving.registry.answers import ResolvedVersion, registry_address, resolve
from serving.registry.cache import Cache
from serving.registry.errors import CacheDown, ModelNotFound, NotPromoted, RegistryDown, UnsafeCache
from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import PINNED_TAG
from serving.settings import Model
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.serving.fleet.followed import answered, status
from tests.serving.processes import processes_of, until


@pytest.fixture
def cache(tmp_path):
    """An empty cache."""
    return Cache(tmp_path / "cache")


@pytest.fixture
def held(cache, sources, tmp_path):
    """Version 1 as the cache holds it, noted under models:/line@champion."""
    digest = digest_in(sources[0] / "scorer")
    shutil.copytree(sources[0] / "scorer", tmp_path / "cache" / digest)
    (tmp_path / "cache").chmod(0o700)
    found = ResolvedVersion("models:/line/1", "line", "1", digest, "somewhere", "1 run model digest")
    model = Model(str(tmp_path / "cache" / digest), name="line", version="1", digest=digest)
    cache.remember("models:/line@champion", model, found)
    return model, found


def note_of(tmp_path):
    """Return the one note in the cache."""
    (note,) = (tmp_path / "cache").glob("*.json")
    return note


def test_what_a_place_pointed_to_is_known_again(cache, held):
    """The ground that the refusals below stand on."""
    assert cache.recall("models:/line@champion") == held


def test_what_was_allowed_once_is_not_for_ever(cache, held, monkeypatch):
    """The registry is away: what an earlier start served with --allow-unpromoted needs it again."""
    mlflow.set_tracking_uri(None)  # takes the variable away, if a test before set the address by a call
    mlflow.set_registry_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    model, found = held
    uri = "models:/line@champion"
    cache.remember(uri, model, replace(found, pinned=None, recorded=found.pinned))
    assert Followed("", uri, Rules(cache, allow_unpromoted=True)).model == model
    with pytest.raises(NotPromoted, match="pass --allow-unpromoted"):
        Followed("", uri, Rules(cache))
    cache.remember(uri, model, found)
    assert Followed("", uri, Rules(cache)).model == model


@pytest.mark.parametrize(
    "address",
    [
        ("sqlite:///{}/other.db", None),
        ("http://127.0.0.1:9", None),
        (None, "sqlite:///{}/other.db"),
        ("postgresql://me:pw@db/mlflow", None),
        ("sqlite:///other.db", None),
    ],
)
def test_another_registrys_record_is_never_used(cache, held, monkeypatch, tmp_path, address):
    """Two projects on one machine: B with its registry down must not start with A's champion."""
    mlflow.set_tracking_uri(None)  # what another test of this process set comes before the environment
    mlflow.set_registry_uri(None)
    for name, value in zip(("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"), address, strict=True):
        if value:
            monkeypatch.setenv(name, value.format(tmp_path))
    assert cache.recall("models:/line@champion") is None


def test_two_folders_without_an_address_are_two_registries(cache, monkeypatch, tmp_path):
    """MLflow's default is mlflow.db in the working folder: its name says nothing, its place does."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(None)
    addresses = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        addresses.append(registry_address())
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
        addresses.append(registry_address())
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert addresses[::2] == addresses[1::2] == [f"sqlite:///{tmp_path}/{name}/mlflow.db" for name in "ab"]


def test_a_new_password_is_no_other_registry(monkeypatch):
    """Keys are changed; the record stays, and does not hold them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hun@ter2@host:5000")
    first = registry_address()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:other@host:5000")
    assert registry_address() == first
    assert "ter2" not in first


def test_no_secret_of_an_odd_address_is_shown(start, held, monkeypatch, tmp_path, capfd):
    """A password with an @ in it, a token in the query: neither in the log nor in /status, nor in the cache."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://bob:hun@ter2@127.0.0.1:9/?token=s3cr3t")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    cache = Cache(tmp_path / "cache")
    cache.remember("models:/line@champion", *held)
    options = [
        "--model",
        "models:/line@champion",
        "--cache",
        str(tmp_path / "cache"),
        "--poll-seconds",
        "0.25",
    ]
    with start(*options) as served:
        until(lambda: "stays" in status(served)["registry"])
        shown = str(served.call("/status")[1])
    shown += capfd.readouterr().err + "".join(
        path.read_text() for path in (tmp_path / "cache").glob("*.json")
    )
    assert "registry cannot be used now" in shown
    assert not [secret for secret in ("ter2", "hun", "s3cr3t") if secret in shown.replace("hung", "")]


def test_a_note_that_names_another_folder_is_not_followed(cache, held, tmp_path):
    """The folder is derived from the digest: a note is data, and a path in it would be an order."""
    note = note_of(tmp_path)
    written = json.loads(note.read_text())
    written["model"]["folder"] = "/etc"
    note.write_text(json.dumps(written))
    assert cache.recall("models:/line@champion") == held
    written["model"]["digest"] = "../../etc"
    note.write_text(json.dumps(written))
    assert cache.recall("models:/line@champion") is None


@pytest.mark.parametrize(
    "who", ["note of another", "note writable", "note linked", "folder of another", "folder writable"]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_others_can_write_is_not_believed(cache, held, tmp_path, who):
    """The registry is down, so nothing else vouches for what lies there."""
    note, folder = note_of(tmp_path), tmp_path / "cache"
    if who == "note of another":
        os.chown(note, 12345, 12345)
    elif who == "note writable":
        note.chmod(0o666)
    elif who == "note linked":
        note.rename(tmp_path / "elsewhere")
        note.symlink_to(tmp_path / "elsewhere")
    elif who == "folder of another":
        os.chown(folder, 12345, 12345)
    else:
        folder.chmod(0o777)
    if who.startswith("folder"):
        with pytest.raises(UnsafeCache, match=r"belongs to user 12345|can be written by others"):
            cache.recall("models:/line@champion")
    else:
        assert cache.recall("models:/line@champion") is None
    if who == "folder writable":
        recorded(
            "security",
            "the cache's folder can be written by others; the registry is down at the start",
            "refuses to start, one line: what lies there proves nothing",
            "nothing",
        )


def test_the_folder_is_the_owners_alone(cache, tmp_path):
    """What is there from earlier is closed to readers; nobody else needs to see versions."""
    (tmp_path / "cache").mkdir(mode=0o755)
    cache.check()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700


def test_a_server_does_not_start_on_an_unsafe_cache(registry):
    """One line that says how to mend it, and exit 2."""
    registry.cache.mkdir()
    registry.cache.chmod(0o777)
    done = served_once(*registry.options())
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "can be written by others: pass --cache" in done.stderr


def served_once(*options, **environment):
    """Start a server that cannot start; return what it said."""
    command = [sys.executable, "-m", "serving", "--port", "0", *options]
    environment = {name: value for name, value in (os.environ | environment).items() if value is not None}
    environment["PYTHONPATH"] = str(ROOT)
    folder = environment.pop("FOLDER", ROOT)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_version_made_again_under_its_number_is_fetched_anew(start, registry, tmp_path):
    """Deleted and registered again, other files: the name and the number are the same, the version is not."""
    for number in ("1", "2"):
        registry.client.delete_model_version_tag("line", number, PINNED_TAG)
    options = ["--model", "models:/line/1", "--allow-unpromoted", "--cache", str(registry.cache)]
    with start(*options, "--poll-seconds", "0.25") as served:
        first = served.call("/predict", {"x": 3})[1]["y"]
        registry.client.delete_registered_model("line")
        registry.client.create_registered_model("line")
        registry.add(1, pinned=False)
        until(lambda: served.call("/predict", {"x": 3})[1]["y"] - first > 900)
        assert status(served)["serving"]["version"] == "1"


def test_a_version_whose_recorded_digest_changes_is_looked_at_again(registry):
    """The tag is part of what a version is."""
    mlflow.set_tracking_uri(registry.uri)
    before = resolve("models:/line/1")
    registry.client.set_model_version_tag("line", "1", "slipway.scorer_digest", "0" * 64)
    assert resolve("models:/line/1") != before


def test_a_registry_that_does_not_exist_is_named_and_not_made(tmp_path, monkeypatch):
    """A server that was started in the wrong folder leaves no empty database there."""
    done = served_once("--model", "models:/line@champion", FOLDER=tmp_path, MLFLOW_TRACKING_URI=None)
    assert done.returncode == 2
    assert f"there is no database {tmp_path}/mlflow.db" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_files_that_were_lost_are_put_back_for_new_workers(start, registry):
    """Cache and registry are gone; the parent has checked the bytes that it still has open."""
    with start(*registry.options()) as served:
        (first,) = processes_of(served)
        database = registry.folder / "mlflow.db"
        database.rename(registry.folder / "away.db")
        shutil.rmtree(registry.cache)
        until(lambda: any(registry.cache.glob("*/model.onnx")))
        until(lambda: "there is no database" in status(served)["registry"])
        first.kill()
        until(lambda: processes_of(served) not in ([], [first]))
        assert answered(served) == "1"
        (registry.folder / "away.db").rename(database)
        registry.point(2)
        until(lambda: answered(served) == "2")
    recorded(
        "reliability",
        "cache deleted, registry down, worker killed",
        "put back the files that it had checked; replaced the worker; recovered",
        "the requests in that worker",
    )


def test_a_name_that_is_not_registered_says_who_was_asked(tracking):
    """The wrong registry is the likeliest mistake; its address is shown, its password is not."""
    with pytest.raises(ModelNotFound, match=rf"asked was sqlite:///{tracking.folder}/mlflow.db"):
        resolve("models:/nobody@champion")


def test_files_that_were_deleted_are_gone_and_not_from_elsewhere(cache, registry, sources, tmp_path):
    """`mlflow gc` took them: stock serving would not find them either."""
    mlflow.set_tracking_uri(registry.uri)
    gone = shutil.copytree(sources[0], tmp_path / "gone")
    version = registry.client.create_model_version("line", str(gone)).version
    shutil.rmtree(gone)
    with pytest.raises(ModelNotFound, match="its files are gone"):
        cache.fetch(resolve(f"models:/line/{version}"), allow_unpromoted=True)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs a mount of its own")
def test_a_cache_that_can_only_be_read_serves_what_it_holds_and_says_so(registry, tmp_path):
    """The registry is up: it's the cache that fails, and the line says so."""
    mlflow.set_tracking_uri(registry.uri)
    cache = Cache(registry.cache)
    cache.fetch(resolve("models:/line/1"), allow_unpromoted=False)
    script = (
        "from serving.registry import Cache, resolve; from pathlib import Path; import sys\n"
        "cache = Cache(Path(sys.argv[1]))\n"
        "print(cache.fetch(resolve('models:/line/1'), allow_unpromoted=False).version)\n"
        "cache.fetch(resolve('models:/line/2'), allow_unpromoted=False)\n"
    )
    (tmp_path / "script.py").write_text(script)
    mount = f"mount --bind {registry.cache} {registry.cache} && mount -o remount,ro,bind {registry.cache}"
    words = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f"{mount} && exec {sys.executable} {tmp_path}/script.py {registry.cache}",
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert done.stdout.strip() == "1", done.stderr
    assert f"the cache {registry.cache} cannot be used now: Read-only file system" in done.stderr
    assert issubclass(CacheDown, RegistryDown)
