"""Who can write to the artifact store, and even to the registry's tags, runs no code where versions are loaded."""

from __future__ import annotations

import gc
import json
import os
import pickle
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.own_files.temporary import own_folder
from serving.scorer.version_files import FILES_TAG, files_digest
from tests.conftest import ROOT
from tests.recorded import recorded
from tests.registered import LINE, Store
from training.__main__ import main
from training.records import model_registry
from training.records.errors import WrongFiles
from training.versions import stock
from training.versions.errors import NotLoadable, StockFailed
from training.versions.loadable import KNOWN_CODE, SHIPPED_CODE, check_loadable

PROMOTE = ["promote", "--name", "line", "--version", "2", "--data", str(LINE), "--policy", "not-worse"]
EVIL = "import pathlib; pathlib.Path({here!r}).touch()\ndef _load_pyfunc(path): raise RuntimeError\n"


class Bomb:
    """What a pickle may hold."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def __reduce__(self) -> object:
        return (os.system, (f"touch {self.where}",))


def edit(path: Path, old: str, new: str) -> None:
    """Change a text file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def evil_loader(version: Path, ran: Path) -> None:
    """1.12: MLmodel names a module that lies in `code/`."""
    edit(version / "MLmodel", "loader_module: mlflow.sklearn", "loader_module: evil_loader")
    (version / "code" / "evil_loader.py").write_text(EVIL.format(here=str(ran)))


def pickled(version: Path, ran: Path) -> None:
    """1.11: MLmodel says that the model is a pickle."""
    edit(version / "MLmodel", "serialization_format: skops", "serialization_format: pickle")
    (version / "model.skops").write_bytes(pickle.dumps(Bomb(ran)))


def other_code(version: Path, ran: Path) -> None:
    """The file that stock MLflow imports is another one."""
    path = version / "code" / "training" / "transformers.py"
    path.write_text(EVIL.format(here=str(ran)) + path.read_text())


def python_model(version: Path, ran: Path) -> None:
    """MLmodel asks pyfunc for a Python model, a cloudpickle."""
    edit(version / "MLmodel", "loader_module: mlflow.sklearn", "loader_module: mlflow.pyfunc.model")
    edit(version / "MLmodel", "predict_fn: predict", "python_model: model.skops")
    (version / "model.skops").write_bytes(pickle.dumps(Bomb(ran)))


def shadowing_code(version: Path, ran: Path) -> None:
    """A module in `code/` that takes the place of one that the loader imports."""
    (version / "code" / "skops.py").write_text(EVIL.format(here=str(ran)))


def more_trust(version: Path, _ran: Path) -> None:
    """MLmodel asks skops to trust what calls a function on loading."""
    edit(version / "MLmodel", "skops_trusted_types:", "skops_trusted_types: [posix.system]\n    x:")


def custom_objects(version: Path, ran: Path) -> None:
    """MLmodel asks for a Keras network, beside which MLflow finds a pickle of its classes."""
    edit(version / "MLmodel", "loader_module: mlflow.sklearn", "loader_module: mlflow.tensorflow")
    (version / "data").mkdir()
    (version / "data" / "custom_objects.cloudpickle").write_bytes(pickle.dumps(Bomb(ran)))


ATTACKS = [evil_loader, pickled, other_code, python_model, shadowing_code, more_trust, custom_objects]


@pytest.mark.parametrize(
    ("attack", "command"),
    [
        (evil_loader, "promote"),
        (pickled, "recalibrate"),
        (other_code, "promote"),
        (evil_loader, "recalibrate"),
    ],
)
def test_a_version_whose_files_were_changed_is_not_loaded(
    attack, command: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The digest of all files is compared with the one that the training wrote, before anything is imported."""
    words = PROMOTE
    if command == "recalibrate":
        words = ["recalibrate", "--name", "line", "--version", "2", "--data", str(fresh(tmp_path))]
    attack(store.artifacts("2"), tmp_path / "ran")
    code = main(words)
    said = capsys.readouterr()
    assert not (tmp_path / "ran").exists()
    assert "version 2 has other files than it was registered with" in said.out + said.err
    assert [version.number for version in model_registry.versions("line")] == ["1", "2"]
    assert model_registry.champion("line").number == "1"
    assert code == 2, said
    if (attack, command) == (evil_loader, "promote"):
        cells = ("the attacker's own loader in MLmodel and `code/`, in the artifact store; then `promote`",)
        recorded("security", *cells, "refused: the digest of all files is another", "no code was run")
    if (attack, command) == (pickled, "recalibrate"):
        cells = ("a pickle in place of the model, in the artifact store; then `recalibrate`",)
        recorded("security", *cells, "exit 2: the digest of all files is another", "no code was run")


def fresh(folder: Path) -> Path:
    """Rows that no version has seen."""
    x = np.linspace(0, 9, 60)
    path = folder / "fresh.csv"
    pd.DataFrame({"x": x, "y": 3 * x + 2 + np.sin(9 * x)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_but_what_slipway_writes_is_loadable(attack, line_registry: Path, tmp_path: Path) -> None:
    """Whatever the digest says: loader, format, types, files and code are held to a list."""
    folder = next(line_registry.glob("mlruns/0/models/*/artifacts"))
    shutil.copytree(folder, tmp_path / "version")
    check_loadable(tmp_path / "version", name="line", version="1")
    attack(tmp_path / "version", tmp_path / "ran")
    with pytest.raises(NotLoadable, match="which Slipway does not write"):
        check_loadable(tmp_path / "version", name="line", version="1")


def test_tags_that_vouch_for_a_hostile_version_do_not_get_it_loaded(store: Store, tmp_path: Path) -> None:
    """Who writes tags too can vouch for any file."""
    evil_loader(store.artifacts("2"), tmp_path / "ran")
    store.tag("2", FILES_TAG, files_digest(store.artifacts("2")))
    version = model_registry.version("line", "2")
    with pytest.raises(NotLoadable, match="the loader 'evil_loader'"):
        version.pipeline()
    with pytest.raises(NotLoadable):
        model_registry.version("line", "2").predict_with_stock_mlflow(pd.DataFrame({"x": [3.0]}))
    assert not (tmp_path / "ran").exists()
    recorded(
        "security",
        "the same with the tag `slipway.files_digest` rewritten to fit",
        "refused: MLmodel asks for a loader that Slipway does not write",
        "no code was run; a model whose numbers are wrong has to pass the gate",
    )


def test_what_python_and_mlflow_added_is_no_part_of_a_version(store: Store, tmp_path: Path) -> None:
    """Stock MLflow on a local store writes there; bytecode planted so is not what is imported."""
    folder = store.artifacts("2")
    (folder / "registered_model_meta").write_text("model_name: line")
    cache = folder / "code" / "training" / "__pycache__"
    cache.mkdir()
    (cache / "transformers.cpython-311.pyc").write_bytes(b"planted")
    version = model_registry.version("line", "2")
    assert not list(version.folder.rglob("__pycache__"))
    assert version.pipeline().predict(pd.DataFrame({"x": [3.0]}))[0] == pytest.approx(11, abs=0.1)


def test_what_was_compared_is_what_is_loaded(store: Store) -> None:
    """No second fetch between the check and the use: the store may change a moment later."""
    version = model_registry.version("line", "2")
    before = files_digest(version.folder)
    pickled(store.artifacts("2"), store.workspace.folder / "ran")
    assert files_digest(version.folder) == before == version.tags[FILES_TAG]
    assert version.pipeline().predict(pd.DataFrame({"x": [3.0]}))[0] == pytest.approx(11, abs=0.1)
    assert version.folder.stat().st_mode & 0o777 in (0o700, 0o755)
    assert store.workspace.folder not in version.folder.parents


@pytest.mark.parametrize("whole", [True, False])
def test_fetched_files_go_with_the_version(whole: bool, store: Store) -> None:
    """A process that looks at a thousand versions keeps the files of those that it still has."""
    place, before = Path(own_folder()), set(Path(own_folder()).iterdir())
    if not whole:
        (store.artifacts("2") / "scorer" / "model.onnx").write_bytes(b"other")
    version = model_registry.version("line", "2")
    with nullcontext() if whole else pytest.raises(WrongFiles):
        version.check_files_now()
        _ = version.pipeline()
    assert {path.stat().st_mode & 0o777 for path in {place} | set(place.iterdir()) - before} == {0o700}
    assert set(place.iterdir()) > before
    del version
    gc.collect()
    assert set(place.iterdir()) <= before


def test_a_version_without_the_digest_is_not_loaded_until_somebody_vouches(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Registered by an earlier release: it is served and gone back to as before, and one line says what to do."""
    store.tag("2", FILES_TAG, None)
    words = ["recalibrate", "--name", "line", "--version", "2", "--data", str(fresh(tmp_path))]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "has no tag slipway.files_digest" in said
    assert model_registry.version("line", "2").predict(pd.DataFrame({"x": [3.0]}))[0] == pytest.approx(
        11, abs=0.1
    )
    store.tag("2", FILES_TAG, said.split()[-1])
    assert main(words) == 0
    new = model_registry.version("line", "3")
    assert new.tags[FILES_TAG] == files_digest(new.folder)


def test_the_digest_is_what_sha256sum_says(store: Store) -> None:
    """Anybody can make it without Slipway."""
    command = (
        "find . -type f ! -name registered_model_meta ! -path '*__pycache__*' -printf '%P\\n' | LC_ALL=C sort"
    )
    command += " | xargs sha256sum | sha256sum"
    done = store.workspace.run("bash", "-c", f"cd {store.artifacts('1')} && {command}")
    assert done.stdout.split()[0] == model_registry.version("line", "1").files


def test_a_recalibrated_version_holds_the_same_model_to_the_byte(store: Store, tmp_path: Path) -> None:
    """Its files are copied: nothing is loaded, so nothing can be run, and stock MLflow loads it as before."""
    assert main(["recalibrate", "--name", "line", "--data", str(fresh(tmp_path))]) == 0
    old, new = model_registry.version("line", "1"), model_registry.version("line", "3")
    assert (old.folder / "model.skops").read_bytes() == (new.folder / "model.skops").read_bytes()
    found = new.predict_with_stock_mlflow(pd.DataFrame({"x": [3.0]}))
    assert found[0] == pytest.approx(11, abs=0.1)
    assert json.loads((new.folder / "scorer" / "scorer.json").read_text())["intervals"]["rows"] == 60


ASKED = """
import os
from pathlib import Path
print(sorted(os.environ), Path.cwd(), Path.home())
raise SystemExit("; ".join([str(sorted(os.environ)), str(Path.cwd()), str(Path.home())]))
"""


def test_a_proof_runs_in_a_process_that_knows_no_secret(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its environment is a short list, its home and its folder are scratch."""
    script = tmp_path / "script.py"
    script.write_text(ASKED)
    monkeypatch.setattr(stock, "__file__", str(script))
    for name in ("MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "DATABASE_URL", "MY_TOKEN"):
        monkeypatch.setenv(name, "s3cret")
    with pytest.raises(StockFailed) as told:
        model_registry.version("line", "2").predict_with_stock_mlflow(pd.DataFrame({"x": [3.0]}))
    said = str(told.value)
    assert "s3cret" not in said
    assert not [name for name in ("MLFLOW_TRACKING", "AWS", "PG", "DATABASE", "TOKEN") if name in said]
    assert said.count("slipway-") == 2
    assert str(Path.home()) not in said.split("]")[1]


def test_the_code_that_versions_carry_is_known() -> None:
    """Whoever changes a shipped file adds its SHA-256; those of earlier releases stay."""
    import hashlib

    folder = ROOT / "training"
    assert {hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in SHIPPED_CODE} <= KNOWN_CODE


@pytest.mark.parametrize("harm", ["link", "absent", "more"])
def test_odd_files_are_one_line(harm: str, store: Store) -> None:
    """A link, a file that is gone, and one that was added."""
    folder = store.artifacts("2")
    if harm == "link":
        (folder / "conda.yaml").unlink()
        (folder / "conda.yaml").symlink_to("/etc/passwd")
    elif harm == "absent":
        shutil.rmtree(folder / "code")
    else:
        (folder / "notes.txt").write_text("")
    with pytest.raises(WrongFiles) as told:
        _ = model_registry.version("line", "2").folder
    assert "\n" not in str(told.value)
    assert "root:" not in str(told.value)
