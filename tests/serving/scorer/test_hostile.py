"""Version folders made to run code, given to the real command: refused, or served with nothing of theirs run."""

import io
import pickle
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.serving.conftest import ROOT


class Bomb:
    """What runs when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return (open, (str(self.canary), "w"))


@pytest.fixture
def hostile(flights, tmp_path):
    """A copy of a good version, and the file that hostile code would write."""
    folder = tmp_path / "version"
    shutil.copytree(flights, folder)
    return folder, tmp_path / "canary"


def refused(folder):
    """Run the command; return its exit code and what it says."""
    command = [sys.executable, "-m", "serving", "--model", str(folder), "--port", "0"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_code_and_loaders_of_a_version_are_never_imported(hostile, start):
    """MLmodel may name any module and code/ may hold any: a worker reads two files."""
    folder, canary = hostile
    code = f"open({str(canary)!r}, 'w').close()\n"
    described = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(described.replace("loader_module: mlflow.sklearn", "loader_module: os"))
    for name in ("os.py", "training/__init__.py", "serving/__init__.py", "numpy.py", "sitecustomize.py"):
        for root in (folder, folder / "code", folder / "scorer"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(code)
    for name in ("model.skops", "model.pkl", "python_env.yaml", "scorer/model.pkl", "scorer/extra.onnx"):
        (folder / name).write_bytes(pickle.dumps(Bomb(canary)))
    with start("--model", str(folder)) as served:
        assert served.call("/readyz")[0] == 200
    assert not canary.exists()


@pytest.mark.parametrize("name", ["model.onnx", "scorer.json"])
@pytest.mark.parametrize("kind", ["pickle", "zip", "nothing", "elsewhere"])
def test_what_stands_in_a_files_place_is_refused(hostile, name, kind):
    """Exit code 3 and one reason."""
    folder, canary = hostile
    file = folder / "scorer" / name
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Bomb(canary)))
    contents = {"pickle": pickle.dumps(Bomb(canary)), "zip": packed.getvalue(), "nothing": b""}
    file.unlink()
    if kind == "elsewhere":
        file.symlink_to("/etc/passwd")
    else:
        file.write_bytes(contents[kind])
    code, said = refused(folder)
    assert code == 3
    assert "worker stops" in said
    assert "root:" not in said
    assert not canary.exists()


def external(model, canary):
    """Keep a tensor's data in a file outside."""
    tensor = model.graph.initializer.add()
    tensor.CopyFrom(numpy_helper.from_array(np.zeros(4), "stolen"))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../../../../etc/passwd"), ("offset", "0"), ("length", "32")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def custom(model, canary):
    """Ask for an operator of a library to be loaded."""
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))
    model.graph.node.append(helper.make_node("Run", ["rows"], ["evil"], domain="evil.ops"))


def looping(model, canary):
    """Hide a graph within a node."""
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["rows"], ["evil"], body=body))


@pytest.mark.parametrize("change", [external, custom, looping])
def test_graphs_that_do_more_than_arithmetic_are_refused(hostile, change):
    """Before onnxruntime sees them."""
    folder, canary = hostile
    file = folder / "scorer" / "model.onnx"
    model = onnx.load(file)
    change(model, canary)
    file.write_bytes(model.SerializeToString())
    code, said = refused(folder)
    assert code == 3
    assert "model.onnx is refused before it is run" in said


@pytest.mark.parametrize(
    "uri", ["models:/../../etc/1", "models:/a%2f..%2fb/1", "models:/x/1/../../../etc", "file:///etc"]
)
def test_addresses_with_tricks_are_refused(uri):
    """Names are checked before they touch a path."""
    code, said = refused(uri)
    assert code == 2
    assert len(said.splitlines()) == 1
