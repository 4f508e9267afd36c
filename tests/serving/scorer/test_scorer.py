"""The scorer loads two files, scores, and refuses what is not ours."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.ensemble import RandomForestRegressor
from sklearn.svm import SVR

from data.schema import Column, Schema
from serving.errors import ModelError
from serving.scorer import Parity
from serving.scorer.document import SLIPWAY, pack
from serving.scorer.errors import GoldenMismatch, NotAScorer, RefusedGraph, WrongDigest
from serving.scorer.graph_checks.guard import check_graph
from serving.scorer.scoring import SORTED_ROWS, Scorer, Session
from training.compiling import compile_pipeline, write_scorer

ROOT = Path(__file__).parents[3]
SCHEMA = Schema(
    (
        Column("a", "number", unit="m", minimum=0.0, maximum=1.0, quantiles=(0.0,) * 7),
        Column("b", "boolean", missing=True),
    ),
    target="y",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scorer's folder as training writes it."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"a": random.random(50), "b": random.integers(0, 2, 50).astype(float)})
    model = RandomForestRegressor(3, max_depth=4, random_state=0).fit(frame, frame["a"] * 3)
    graph = compile_pipeline(model, SCHEMA)
    parity = Parity(rows=50, max_abs=0.0, max_rel=0.0, target_sd=1.0)
    write_scorer(
        tmp_path / "scorer", graph=graph, schema=SCHEMA, frame=frame, fingerprint="abc", parity=parity
    )
    return tmp_path / "scorer"


def test_it_loads_scores_and_replays(folder: Path) -> None:
    """The golden rows are ten, and give what is written beside them."""
    scorer = Scorer.load(folder)
    scorer.replay_golden()
    assert scorer.schema == SCHEMA
    assert scorer.golden.matrix.shape == (10, 2)
    assert scorer.predict(scorer.golden.matrix).dtype == np.float64
    assert scorer.predict(np.zeros((0, 2))).shape == (0,)
    assert Scorer.load(folder, digest=scorer.digest, threads=2).digest == scorer.digest


def test_blocks_do_not_change_the_numbers(folder: Path) -> None:
    """More rows than one block holds."""
    scorer = Scorer.load(folder)
    matrix = np.random.default_rng(1).random((20_001, 2))
    np.testing.assert_array_equal(scorer.predict(matrix)[::4000], scorer.predict(matrix[::4000]))


@pytest.mark.parametrize("at_once", [2, None])
def test_blocks_that_are_under_way_at_once_give_the_same_bits(
    folder: Path, at_once: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training asks on all cores what its digest depends on; a pipeline's predictions are compared in order."""
    monkeypatch.setattr(Session, "BLOCK_ROWS", 100)
    monkeypatch.setattr("serving.scorer.graph_session._cores", lambda: 3)
    matrix, running, seen = np.random.default_rng(1).random((1_050, 2)), threading.Semaphore(0), set()
    run = Session._run

    def noted(session: Session, rows: np.ndarray) -> np.ndarray:
        seen.add(threading.get_ident())
        if len(seen) == 1 and session is several:  # the first waits until a second thread has begun
            running.acquire(timeout=10.0)
        running.release()
        return run(session, rows)

    one, several = Scorer.load(folder), Session((folder / "model.onnx").read_bytes(), at_once=at_once)
    expected = one.predict(matrix)
    monkeypatch.setattr(Session, "_run", noted)
    assert several.predict(matrix).tobytes() == expected.tobytes()
    assert len(seen) > 1
    monkeypatch.undo()
    np.testing.assert_array_equal(one.predict_with_scale(matrix)[:, 0], expected)


def test_rows_are_sorted_for_trees_and_answered_in_their_own_order(folder: Path) -> None:
    """The graph says which columns its trees ask most; only the way there is another."""
    scorer = Scorer.load(folder)
    note = {prop.key: prop.value for prop in onnx.load(folder / "model.onnx").metadata_props}
    assert note == {"sort_by": "0"}
    matrix = np.random.default_rng(1).random((SORTED_ROWS, 2))
    matrix[::7, 0] = np.nan
    one_by_one = np.concatenate([scorer.predict(matrix[[place]]) for place in range(len(matrix))])
    np.testing.assert_array_equal(scorer.predict(matrix), one_by_one)


@pytest.mark.parametrize("note", ["2", "x", "-3"])
def test_a_note_that_names_no_column_is_refused(folder: Path, note: str) -> None:
    """Before the first row."""
    model = onnx.load(folder / "model.onnx")
    model.metadata_props[0].value = note
    with pytest.raises(RefusedGraph):
        Session(model.SerializeToString())


def test_threads_share_a_scorer(folder: Path) -> None:
    """Eight threads at once get the numbers that one gets."""
    scorer = Scorer.load(folder)
    matrix = np.random.default_rng(1).random((500, 2))
    expected, found = scorer.predict(matrix), []
    threads = [threading.Thread(target=lambda: found.append(scorer.predict(matrix))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(one, expected) for one in found)


def test_the_written_file_fits_its_json_schema(folder: Path) -> None:
    """docs/scorer.schema.json is what readers in other languages rely on."""
    schema = json.loads((ROOT / "docs/scorer.schema.json").read_text())
    document = json.loads((folder / "scorer.json").read_text())
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)] == []
    del document["golden"]
    assert not jsonschema.Draft202012Validator(schema).is_valid(document)


def test_every_field_is_documented(folder: Path) -> None:
    """docs/scorer-format.md names each top-level field."""
    text = (ROOT / "docs/scorer-format.md").read_text()
    assert all(f"`{field}`" in text for field in json.loads((folder / "scorer.json").read_text()))


def test_the_version_is_that_of_the_package() -> None:
    """scorer.json names the Slipway that wrote it."""
    assert f'version = "{SLIPWAY}"' in (ROOT / "pyproject.toml").read_text()


def test_another_digest_is_refused(folder: Path) -> None:
    """What was promoted is what is served."""
    with pytest.raises(WrongDigest, match="expected 00"):
        Scorer.load(folder, digest="00")


def test_a_changed_prediction_is_found(folder: Path) -> None:
    """The golden rows are replayed before a version serves."""
    written = json.loads((folder / "scorer.json").read_text())
    written["golden"][3]["prediction"] += 1e-6
    (folder / "scorer.json").write_text(json.dumps(written))
    with pytest.raises(GoldenMismatch, match="golden row 3"):
        Scorer.load(folder).replay_golden()


def test_white_space_does_not_change_the_digest(folder: Path) -> None:
    """It is taken over the canonical form."""
    digest = Scorer.load(folder).digest
    (folder / "scorer.json").write_text(json.dumps(json.loads((folder / "scorer.json").read_text())))
    assert Scorer.load(folder).digest == digest


def test_the_server_needs_numpy_and_onnxruntime_only(folder: Path) -> None:
    """A worker that scores has imported neither mlflow, scikit-learn, pandas nor onnx."""
    code = (
        "import sys; from pathlib import Path; from serving.scorer.scoring import Scorer; "
        f"s = Scorer.load(Path({str(folder)!r})); s.replay_golden(); "
        "print([m for m in ('mlflow', 'sklearn', 'pandas', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_a_sum_of_many_terms_holds_one_of_them_at_a_time(tmp_path: Path) -> None:
    """Support vectors on 270 columns took 24 GB for 2,000 rows: onnxruntime made all terms of the distance first."""
    columns, rows = 60, 2_000
    x = np.random.default_rng(0).normal(size=(1_000, columns))
    names = [f"x{place}" for place in range(columns)]
    schema = Schema(tuple(Column(name, "number", quantiles=(0.0,) * 7) for name in names), target="y")
    model = SVR().fit(pd.DataFrame(x, columns=names), x[:, 0])
    (tmp_path / "graph").write_bytes(compile_pipeline(model, schema))
    code = (
        "import resource, numpy, pathlib; from serving.scorer.scoring import Session; "
        f"s = Session(pathlib.Path({str(tmp_path / 'graph')!r}).read_bytes()); "
        "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = most(); "
        f"s.predict(numpy.zeros(({rows}, {columns}))); print(most() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    one_term = rows * len(model.support_vectors_) * 8 / 1024
    assert int(done.stdout) < 8 * one_term, "KiB; all terms are 60 times as much"


def test_a_block_of_wide_values_is_of_fewer_rows(tmp_path: Path) -> None:
    """A request of 8,192 rows, of 3,000 support vectors, took 0.6 GB of a worker that has to do with less."""
    x = np.random.default_rng(0).normal(size=(2_000, 3))
    schema = Schema(tuple(Column(name, "number", quantiles=(0.0,) * 7) for name in "abc"), target="y")
    model = SVR(epsilon=0.0).fit(pd.DataFrame(x, columns=list("abc")), np.sin(9 * x[:, 0]))
    graph = compile_pipeline(model, schema)
    assert check_graph(graph, columns=3) == len(model.support_vectors_)
    parity = Parity(rows=50, max_abs=0.0, max_rel=0.0, target_sd=1.0)
    frame = pd.DataFrame(x[:50], columns=list("abc"))
    write_scorer(tmp_path / "scorer", graph=graph, schema=schema, frame=frame, fingerprint="a", parity=parity)
    for same_bits in (False, True):
        code = (
            "import resource, numpy, pathlib; from serving.scorer import Scorer; "
            f"s = Scorer.load(pathlib.Path({str(tmp_path / 'scorer')!r}), same_bits={same_bits}); "
            "most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; before = most(); "
            "s.predict(numpy.zeros((8_192, 3))); print(most() - before)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert int(done.stdout) < 80 * 1024, "KiB: one value of all rows takes 125 MB"


Change = Callable[[onnx.ModelProto], None]


def attribute(model: onnx.ModelProto, name: str) -> onnx.AttributeProto:
    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    return next(item for item in trees.attribute if item.name == name)


def nan_threshold(model: onnx.ModelProto) -> None:
    tensor = attribute(model, "nodes_splits").t
    values = numpy_helper.to_array(tensor).copy()
    values[0] = np.nan
    tensor.CopyFrom(numpy_helper.from_array(values))


def external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Loop"


def unknown_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))


def node_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def local_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="")


def subgraph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "g", [], [])))


def wrong_columns(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7


def wrong_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.DOUBLE, ["n", 1]))


def short_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40]


def text_tensor(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"x"]))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def far_feature(model: onnx.ModelProto) -> None:
    attribute(model, "nodes_featureids").ints[0] = 10**9


def link_back(model: onnx.ModelProto) -> None:
    links, leafs = attribute(model, "nodes_truenodeids"), attribute(model, "nodes_trueleafs")
    links.ints[3], leafs.ints[3] = 0, 0


def link_away(model: onnx.ModelProto) -> None:
    attribute(model, "nodes_falsenodeids").ints[0] = 10**6


def root_away(model: onnx.ModelProto) -> None:
    attribute(model, "tree_roots").ints[0] = -5


def repeated_attribute(model: onnx.ModelProto) -> None:
    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsemble")
    trees.attribute.append(attribute(model, "nodes_splits"))


HOSTILE: list[Change] = [
    nan_threshold, external_data, unknown_operator, unknown_domain, node_domain, local_function, subgraph,
    wrong_columns, wrong_type, second_input, short_tensor, text_tensor, sparse, far_feature, link_back,
    link_away,    root_away, repeated_attribute,
]  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_graph_is_refused_before_it_is_loaded(
    folder: Path, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Onnxruntime never sees it."""
    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    monkeypatch.setattr("serving.scorer.scoring.Session", lambda *a, **k: pytest.fail("reached onnxruntime"))
    with pytest.raises(RefusedGraph, match="refused before it is run"):
        Scorer.load(folder)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model.onnx", b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", zipped(), pickle.dumps({"a": 1}), b"\xff" * 100, b"\x3a\xff\xff\xff\xff\x0f", b"{}" * 50],
)
def test_what_is_no_onnx_file_is_refused(content: bytes) -> None:
    """A zip, a pickle, nothing, noise."""
    with pytest.raises(RefusedGraph):
        check_graph(content, columns=2)


def test_any_cut_file_is_refused(folder: Path) -> None:
    """Wherever the copy stopped: what is left is never taken for a smaller model."""
    content = (folder / "model.onnx").read_bytes()
    for at in range(0, len(content), 41):
        with pytest.raises(RefusedGraph):
            check_graph(content[:at], columns=2)


def test_a_file_with_a_flipped_byte_is_refused_or_a_graph_that_answers_each_row(folder: Path) -> None:
    """The reader has one kind of error; what it lets through has other numbers at most."""
    content = (folder / "model.onnx").read_bytes()
    refused, answered = 0, 0
    for at in range(0, len(content), 41):
        broken = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        try:
            check_graph(broken, columns=2)
            session = Session(broken)
        except RefusedGraph:
            refused += 1
            continue
        assert session.predict(np.zeros((3, 2))).shape == (3,)
        answered += 1
    assert min(refused, answered) > 5


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"format": 1}', '{"format": 99}', '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 100_000],
)
def test_a_broken_document_is_refused(folder: Path, content: str) -> None:
    """One clear error, whatever stands there."""
    (folder / "scorer.json").write_text(content)
    with pytest.raises(NotAScorer, match=r"scorer\.json"):
        Scorer.load(folder)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    """And its folder is not."""
    with pytest.raises(ModelError, match=r"^model\.onnx cannot be read"):
        Scorer.load(tmp_path)


def test_raw_values_are_packed_as_the_contract_says() -> None:
    """Unseen is -1, missing is NaN, dates are seconds."""
    assert pack("2", Column("c", "category", categories=("1", "2"))) == 1.0
    assert pack("3", Column("c", "category", categories=("1", "2"))) == -1.0
    assert np.isnan(pack(None, Column("c", "number")))
    assert pack("1970-01-01T00:01:00+00:00", Column("d", "datetime")) == 60.0
    with pytest.raises(TypeError, match="no number"):
        pack(True, Column("c", "number"))
