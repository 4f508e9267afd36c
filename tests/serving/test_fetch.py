"""A version fetched into a folder, as KServe's storage initializer is run."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from serving import fetch as fetching
from serving.scorer import scorer_files
from serving.scorer.version_files import PINNED_TAG
from tests.serving.conftest import serve

URI = "models:/line@champion"


@pytest.fixture
def target(tmp_path):
    """A volume as the kubelet makes one: of another user, for all to write."""
    folder = tmp_path / "mnt" / "models"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


def files_in(folder):
    """Return all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_scorers_files_are_fetched_and_served_under_the_services_name(store, target, capsys):
    """Not the model, its environment or its pickles; for whichever user the server is."""
    assert fetching.main([URI, str(target)]) == 0
    said = capsys.readouterr()
    assert "fetched models:/line@champion, version 1 of line" in said.out
    assert said.err == ""  # no bars that would push an error out of the pod's status
    assert [path.name for path in target.iterdir()] == ["scorer"]
    assert files_in(target) == ["scorer/explain.safetensors", "scorer/model.onnx", "scorer/scorer.json"]
    assert stat.S_IMODE((target / "scorer").stat().st_mode) == 0o755
    assert {stat.S_IMODE(path.stat().st_mode) for path in (target / "scorer").iterdir()} == {0o644}
    with serve("--model", f"price-of-houses={target}") as served:
        status, metadata, _ = served.call("/v2/models/price-of-houses")
        assert (status, metadata["name"]) == (200, "price-of-houses")
        assert served.call("/v2/models/line")[0] == 404


def test_a_container_that_is_started_again_replaces_what_it_fetched(store, target):
    """A node restarts pods with their volumes."""
    (target / "scorer").mkdir()
    (target / "scorer" / "model.onnx").write_bytes(b"half a download")
    for _ in range(2):
        assert fetching.main([URI, str(target)]) == 0
        assert scorer_files.digest_in(target / "scorer") == scorer_files.digest_in(
            store.artifacts("1") / "scorer"
        )
    assert [path.name for path in target.iterdir()] == ["scorer"]


@pytest.mark.parametrize(
    "refusal",
    [
        ("models:/line@challenger", 2, "challenger"),
        ("models:/nobody@champion", 2, "nobody"),
        ("models:/line/17", 2, "17"),
        ("models:/line", 2, "write models:/NAME@ALIAS"),
        ("/mnt/somewhere", 2, "write models:/NAME@ALIAS"),
        ("s3://bucket/model", 2, "write models:/NAME@ALIAS"),
        ("models:/line/2", 3, "was never promoted"),
    ],
)
def test_what_cannot_be_fetched_is_said_in_one_line(store, target, capsys, refusal):
    """The pod's status shows the end of the log, and nothing else."""
    uri, code, words = refusal
    assert fetching.main([uri, str(target)]) == code
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("error: ")
    assert words in said
    assert uri in said
    assert list(target.iterdir()) == []


def test_changed_files_are_refused(store, target, capsys):
    """Who may write to the artifact store does not decide what is served."""
    with (store.artifacts("1") / "scorer" / "model.onnx").open("ab") as graph:
        graph.write(b"x")
    assert fetching.main([URI, str(target)]) == 3
    assert "the scorer's digest is" in capsys.readouterr().err
    assert list(target.iterdir()) == []


def test_tags_that_the_ledger_does_not_know_are_refused(store, target, capsys):
    """Nor does who may write a tag."""
    changed = scorer_files.digest_in(store.artifacts("2") / "scorer")
    store.tag("2", PINNED_TAG, changed)
    assert fetching.main(["models:/line/2", str(target)]) == 3
    assert "does not vouch for version 2" in capsys.readouterr().err
    assert list(target.iterdir()) == []


def test_half_a_download_leaves_what_was_there(store, target, capsys, monkeypatch):
    """A pod that was served before starts with the same version again."""
    assert fetching.main([URI, str(target)]) == 0
    before = scorer_files.digest_in(target / "scorer")
    import mlflow

    whole = mlflow.artifacts.download_artifacts

    def half(*args, **kwargs):
        came = Path(whole(*args, **kwargs))
        came.write_bytes(came.read_bytes()[: came.stat().st_size // 2])
        return str(came)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", half)
    capsys.readouterr()
    assert fetching.main([URI, str(target)]) == 2
    assert "of" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["scorer"]
    assert scorer_files.digest_in(target / "scorer") == before


def test_nobody_answers(store, target, capsys, monkeypatch):
    """The address of a tracking server that is down."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert fetching.main([URI, str(target)]) == 2
    assert "the registry cannot be used now" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")
def test_a_full_volume_is_named(store, tmp_path, capsys):
    """An emptyDir with a sizeLimit, or a node without room."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=False).returncode:
        pytest.skip("may not mount")
    try:
        (small / "filled").write_bytes(b"x" * 16384)
        assert fetching.main([URI, str(small)]) == 2
        said = capsys.readouterr().err
        assert "No space left on device" in said
        assert "sizeLimit" in said
        assert [path.name for path in small.iterdir()] == ["filled"]
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_folder_that_cannot_be_written_is_named(store, tmp_path, capsys):
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")
    assert fetching.main([URI, str(tmp_path / "file" / "models")]) == 2
    assert "was not fetched into" in capsys.readouterr().err


def test_an_unpromoted_version_is_fetched_by_who_means_it(store, target, capsys):
    """As the server does."""
    assert fetching.main(["models:/line/2", str(target), "--allow-unpromoted"]) == 0
    assert json.loads((target / "scorer" / "scorer.json").read_text())
    shutil.rmtree(target / "scorer")


def test_a_folder_that_cannot_be_replaced_is_what_it_was(tmp_path, monkeypatch):
    """What stood there goes aside first: it comes back where the new one cannot take its place."""
    made, there = tmp_path / "made", tmp_path / "scorer"
    for each in (made, there):
        each.mkdir()
        for name in (scorer_files.GRAPH_FILE, scorer_files.DOCUMENT_FILE):
            (each / name).write_text(each.name)
    rename = Path.rename

    def refuse(self, target):
        if self == made:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="No space"):
        fetching._replace(made, there)
    assert (there / scorer_files.GRAPH_FILE).read_text() == "scorer"
