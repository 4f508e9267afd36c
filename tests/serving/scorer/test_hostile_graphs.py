"""Graphs and documents that are well-formed and mean harm: rows of several clients, memory, time, a dead process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression

from data.schema import Column, Schema
from serving.scorer import Parity
from serving.scorer.errors import FailingGraph, GoldenMismatch, NotAScorer, RefusedGraph
from serving.scorer.graph_checks.guard import check_graph
from serving.scorer.graph_checks.reader import OPERATORS, read_graph
from serving.scorer.graph_checks.shapes import RULES
from serving.scorer.scoring import Scorer, Session
from tests.conftest import ROOT
from tests.recorded import recorded
from training.compiling import compile_pipeline, write_scorer

COLUMNS = 3
SCHEMA = Schema(tuple(Column(name, "number") for name in "abc"), target="y")


def graph_of(*nodes: onnx.NodeProto, opset: int = 22, **constants: Any) -> bytes:
    """Return a model of three columns; a last node gives `t`, which becomes the prediction."""
    constants = {"flat": np.array([-1])} | constants
    made = helper.make_graph(
        [*nodes, helper.make_node("Reshape", ["t", "flat"], ["prediction"])],
        "hostile",
        [helper.make_tensor_value_info("rows", TensorProto.DOUBLE, ["n", COLUMNS])],
        [helper.make_tensor_value_info("prediction", TensorProto.DOUBLE, ["n"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 5)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()


def op(operator: str, inputs: str, output: str = "t", **attributes: Any) -> onnx.NodeProto:
    """Return one node; names by blanks."""
    return helper.make_node(operator, inputs.split(), [output], **attributes)


FIRST = op("Gather", "rows zero", "first", axis=1)
ZERO, ONE = np.array([0]), np.array([1])
LOOKS_ACROSS: dict[str, bytes] = {
    "mean of all rows": graph_of(FIRST, op("ReduceMean", "first zero", "m"), op("Add", "first m"), zero=ZERO),
    "sum of everything": graph_of(FIRST, op("ReduceSum", "first", "m"), op("Add", "first m"), zero=ZERO),
    "largest by a negative axis": graph_of(
        FIRST, op("ReduceMax", "first axis", "m"), op("Add", "first m"), zero=ZERO, axis=np.array([-2])
    ),
    "an older operator's axes": graph_of(
        FIRST, op("ReduceMean", "first", "m", axes=[0]), op("Add", "first m"), opset=13, zero=ZERO
    ),
    "the first row": graph_of(FIRST, op("Gather", "first zero", "m", axis=0), op("Add", "first m"), zero=ZERO),
    "the last row": graph_of(
        FIRST, op("Slice", "first last far zero", "m"), op("Add", "first m"),
        zero=ZERO, last=np.array([-1]), far=np.array([2**60]),
    ),
    "rows in reverse": graph_of(
        FIRST, op("Slice", "first last far zero last"), zero=ZERO, last=np.array([-1]), far=np.array([-(2**60)])
    ),
    "rows picked by a value": graph_of(
        FIRST, op("Cast", "first", "places", to=TensorProto.INT64), op("GatherElements", "first places", axis=0),
        zero=ZERO,
    ),
    "rows joined below rows": graph_of(FIRST, op("Concat", "first first", axis=0), zero=ZERO),
    "rows against rows": graph_of(
        FIRST, op("Transpose", "first", "turned", perm=[1, 0]), op("Sub", "first turned", "all"),
        op("ReduceSum", "all one", keepdims=1), zero=ZERO, one=ONE,
    ),
    "rows against rows without turning": graph_of(
        FIRST, op("Reshape", "first flat", "line"), op("Sub", "first line", "all"), op("ReduceMax", "all one"),
        zero=ZERO, one=ONE,
    ),
    "a product of rows": graph_of(
        op("Transpose", "rows", "turned", perm=[1, 0]), op("MatMul", "turned rows", "all"),
        op("MatMul", "rows all", "p"), op("ReduceSum", "p one", keepdims=1), one=ONE,
    ),
    "the same by Gemm": graph_of(
        op("Gemm", "rows rows", "all", transA=1), op("MatMul", "rows all", "p"), op("ReduceSum", "p one"), one=ONE
    ),
    "two rows made one": graph_of(
        op("Reshape", "rows pair", "two"), op("ReduceSum", "two one"), pair=[-1, 6], one=ONE
    ),
    "rows cut otherwise": graph_of(op("Reshape", "rows thin"), thin=[3, -1]),
    "parts of the rows": graph_of(FIRST, op("Split", "first one", axis=0), zero=ZERO, one=ONE),
    "a flag that is neither 0 nor 1": graph_of(
        op("ReduceSum", "rows one", "s", keepdims=25), FIRST, op("Sub", "s first", "all"), op("ReduceMax", "all one"),
        zero=ZERO, one=ONE,
    ),
    "an axis of one that is the rows'": graph_of(op("Squeeze", "rows zero", "t"), zero=ZERO),
}  # fmt: skip

MIN = np.iinfo(np.int64).min
LARGE = np.zeros((1, 1))
DEADLY: dict[str, bytes] = {
    "whole numbers divided": graph_of(
        op("Div", "least minus", "d"), op("Cast", "d", "f", to=TensorProto.DOUBLE), FIRST, op("Add", "first f"),
        least=np.array([[MIN]]), minus=np.array([[-1]]), zero=ZERO,
    ),
    "whole numbers divided by what a client sends": graph_of(
        FIRST, op("Cast", "first", "i", to=TensorProto.INT64), op("Div", "least i", "d"),
        op("Cast", "d", to=TensorProto.DOUBLE), least=np.array([[MIN]]), zero=ZERO,
    ),
    "a remainder of whole numbers": graph_of(
        FIRST, op("Cast", "first", "i", to=TensorProto.INT64), op("Mod", "least i", "d"),
        op("Cast", "d", to=TensorProto.DOUBLE), least=np.array([[MIN]]), zero=ZERO,
    ),
    "six gigabytes": graph_of(
        op("Expand", "large size", "e"), op("ReduceSum", "e", "s"), FIRST, op("Add", "first s"),
        large=LARGE, size=[28_000, 28_000], zero=ZERO,
    ),
    "eight terabytes": graph_of(
        op("Expand", "large size", "e"), op("ReduceSum", "e", "s"), FIRST, op("Add", "first s"),
        large=LARGE, size=[2**20, 2**20], zero=ZERO,
    ),
    "large for each row": graph_of(
        FIRST, op("Expand", "first size", "e"), op("ReduceSum", "e one", keepdims=1),
        size=[1, 2**30], zero=ZERO, one=ONE,
    ),
    "large by outer sums": graph_of(
        op("Add", "line column", "plane"), op("Add", "plane deep", "cube"), op("ReduceSum", "cube", "s"), FIRST,
        op("Add", "first s"), line=np.zeros((1, 5000)), column=np.zeros((5000, 1)), deep=np.zeros((5000, 1, 1)),
        zero=ZERO,
    ),
    "a shape that a client sends": graph_of(
        FIRST, op("Cast", "first", "i", to=TensorProto.INT64), op("Reshape", "i flat", "size"),
        op("Expand", "large size", "e"), op("ReduceSum", "e", "s"), op("Add", "first s"), large=LARGE, zero=ZERO,
    ),
    "a computed shape": graph_of(
        op("Add", "some some", "size"), op("Expand", "large size", "e"), op("ReduceSum", "e", "s"), FIRST,
        op("Add", "first s"), large=LARGE, some=[2, 2], zero=ZERO,
    ),
    "a chain of products": graph_of(
        *[op("MatMul", f"m{step} m0", f"m{step + 1}") for step in range(40)], op("ReduceSum", "m40", "s"), FIRST,
        op("Add", "first s"), m0=np.zeros((500, 500)), zero=ZERO,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOKS_ACROSS)
def test_a_graph_that_looks_across_rows_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of several clients are joined: one client's rows would move another's answer."""
    monkeypatch.setattr("serving.scorer.scoring.Session", lambda *a, **k: pytest.fail("reached onnxruntime"))
    with pytest.raises(RefusedGraph, match="refused before it is run"):
        check_graph(LOOKS_ACROSS[name], columns=COLUMNS)


@pytest.mark.parametrize("name", DEADLY)
def test_a_graph_that_ends_or_fills_the_process_is_refused(name: str) -> None:
    """A signal, gigabytes, or minutes: nothing that an exception could report."""
    with pytest.raises(RefusedGraph, match="refused before it is run"):
        check_graph(DEADLY[name], columns=COLUMNS)


def test_each_of_these_does_harm_where_nobody_looks() -> None:
    """Else the refusals above would prove nothing: the first rows' answers differ with their neighbours."""
    rows = np.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0]])
    moved = []
    for name, content in LOOKS_ACROSS.items():
        try:
            together, alone = (Session(content).predict(part) for part in (rows, rows[:1]))
        except Exception:
            continue
        if together.shape != (2,) or together[0] != alone[0]:
            moved.append(name)
    assert len(moved) >= 9, moved
    code = "import sys; from serving.scorer.scoring import Session; Session(sys.stdin.buffer.read())"
    content = DEADLY["whole numbers divided"]
    done = subprocess.run(
        [sys.executable, "-c", code], input=content, cwd=ROOT, check=False, capture_output=True
    )
    assert done.returncode == -8  # SIGFPE


def test_every_operator_that_may_stand_in_a_file_has_a_rule() -> None:
    """And no other."""
    assert RULES.keys() | {"Split"} == OPERATORS[""] | OPERATORS["ai.onnx.ml"]


def random_graph(random: np.random.Generator) -> bytes:
    """Return a few nodes on random inputs: most are refused, some are not."""
    numbers = {
        "c1": random.normal(size=(1, 3)), "c2": random.normal(size=(3, 3)), "c3": random.normal(size=(3, 1)),
        "a0": ZERO, "a1": ONE, "a2": np.array([-1]), "s1": np.array([-1, 3]), "s2": np.array([-1, 1]),
        "s3": np.array([1, 3]), "i1": np.array([2, 0, 1]), "i2": np.array([[0], [1]]), "b": np.array([[True]]),
    }  # fmt: skip
    names, nodes = ["rows", "rows", *numbers], []
    shapes = ["a0", "a1", "a2", "s1", "s2", "s3", "i1"]
    for place in range(int(random.integers(1, 6))):
        operator = str(random.choice(sorted(OPERATORS[""] - {"CastLike"})))
        count = {"Where": 3, "Clip": 1}.get(operator, 1 if RULES.get(operator) is RULES["Abs"] else 2)
        inputs = [str(random.choice([*names[-6:], "rows"])) for _ in range(count)]
        if operator in ("Reshape", "Expand", "Squeeze", "Unsqueeze", "Split") or operator.startswith(
            "Reduce"
        ):
            inputs = [inputs[0], str(random.choice(shapes))]
        if operator == "Slice":
            inputs = [inputs[0], *(str(random.choice(shapes[:3])) for _ in range(3))]
        attributes: dict[str, Any] = {}
        if operator in ("Concat", "Gather", "GatherElements"):
            attributes["axis"] = int(random.integers(-1, 2))
        if operator == "Cast":
            attributes["to"] = int(random.choice([TensorProto.DOUBLE, TensorProto.INT64]))
        if operator == "Mod":
            attributes["fmod"] = 1
        nodes.append(helper.make_node(operator, inputs, [f"v{place}"], **attributes))
        names.append(f"v{place}")
    nodes.append(op("Add", f"rows v{len(nodes) - 1}", "u"))
    return graph_of(*nodes, op("ReduceSum", "u a1", keepdims=1), **numbers)


def test_what_is_not_refused_gives_each_row_its_own_answer() -> None:
    """Random graphs, the guard's word against onnxruntime's: rows alone and in company.

    What onnxruntime cannot run is its own error, never a dead process.
    """
    random = np.random.default_rng(7)
    rows = random.normal(size=(5, COLUMNS)) * 2.0
    ran = 0
    for _ in range(2500):
        content = random_graph(random)
        try:
            check_graph(content, columns=COLUMNS)
        except RefusedGraph:
            continue
        try:
            session = Session(content)
            together = session.predict(rows)
            alone = np.concatenate([session.predict(rows[place : place + 1]) for place in range(5)])
        except Exception as error:
            assert "onnxruntime" in repr(type(error)) or isinstance(error, RefusedGraph), error
            continue
        ran += 1
        assert together.shape == alone.shape == (5,)
        both = ~(
            np.isnan(together) | np.isnan(alone)
        )  # which of NaN and a number is smaller depends on their places
        np.testing.assert_allclose(
            together[both], alone[both], rtol=1e-9, atol=1e-9, err_msg=str(read_graph(content).nodes)
        )
    assert ran > 20, ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A linear model's scorer as training writes it."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.random((60, 3)), columns=list("abc"))
    model = LinearRegression().fit(frame, frame["a"] * 3 + 1)
    parity = Parity(rows=60, max_abs=0.0, max_rel=0.0, target_sd=1.0)
    graph = compile_pipeline(model, SCHEMA)
    write_scorer(
        tmp_path / "scorer", graph=graph, schema=SCHEMA, frame=frame, fingerprint="abc", parity=parity
    )
    return tmp_path / "scorer"


def test_a_golden_row_must_give_the_same_alone_and_in_reverse(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line, should a graph find a way past the first."""
    scorer = Scorer.load(folder)
    scorer.replay_golden()
    honest = scorer.predict

    def nosy(rows: np.ndarray) -> np.ndarray:
        return honest(rows) + (rows[0, 0] != scorer.golden.matrix[0, 0])

    monkeypatch.setattr(scorer, "predict", nosy)
    with pytest.raises(GoldenMismatch, match="golden row"):
        scorer.replay_golden()


Change = Callable[[dict[str, Any]], Any]
TABLE = {
    "method": "calibration",
    "rows": 50,
    "adaptive": False,
    "coverage": [0.5, 0.9],
    "quantile": [1.0, 2.0],
}
LIES: dict[str, tuple[Change, str]] = {
    "no golden rows": (lambda d: d.update(golden=[]), "has 0 golden rows"),
    "2,000 golden rows": (lambda d: d.update(golden=d["golden"][:1] * 2_000), "has 2000 golden rows"),
    "a deviation of 1e308": (lambda d: d["parity"].update(target_sd=1e308), "target_sd is 1e.308, too large"),
    "an infinite deviation": (
        lambda d: d["parity"].update(target_sd=10**400),
        "must be 0 or more and finite",
    ),
    "a deviation that is text": (lambda d: d["parity"].update(target_sd="1"), "no number"),
    "a tolerance of one": (lambda d: d["parity"].update(tolerance=1.0), "tolerance is 1.0, must be at most"),
    "negative quantiles": (lambda d: d.update(intervals=TABLE | {"quantile": [-2.0, -1.0]}), "0 or more"),
    "falling quantiles": (lambda d: d.update(intervals=TABLE | {"quantile": [2.0, 1.0]}), "does not rise"),
    "a million quantiles": (
        lambda d: d.update(intervals=TABLE | {"coverage": [0.9] * 10**6, "quantile": [1.0] * 10**6}),
        "has 1000000 coverages",
    ),
    "coverage of one": (
        lambda d: d.update(intervals=TABLE | {"coverage": [0.5, 1.0]}),
        "coverage of 1 or more",
    ),
    "intervals from no rows": (lambda d: d.update(intervals=TABLE | {"rows": 0}), "from no rows"),
    "versions in a list": (lambda d: d.update(versions=["mlflow"]), "versions is no list of"),
    "a version that is a number": (lambda d: d["versions"].update(mlflow=3), "versions.mlflow is no text"),
    "a fingerprint that is a number": (lambda d: d.update(fingerprint=1), "fingerprint is no text"),
    "a target that is a list": (lambda d: d["schema"]["target"].update(name=["y"]), "target is no text"),
    "two columns of one name": (lambda d: d["schema"]["columns"][0].update(name="b"), "two of one name"),
    "a unit that is a number": (lambda d: d["schema"]["columns"][0].update(unit=5), "no text"),
    "a range of text": (lambda d: d["schema"]["columns"][0].update(minimum="0"), "no number"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_document_that_proves_nothing_is_refused(folder: Path, name: str) -> None:
    """One line; read, it would be a 500 at /version, or an interval that ends before it begins."""
    change, says = LIES[name]
    written = json.loads((folder / "scorer.json").read_text())
    change(written)
    (folder / "scorer.json").write_text(json.dumps(written))
    with pytest.raises(NotAScorer, match=says) as caught:
        Scorer.load(folder)
    assert len(str(caught.value)) < 300


def test_a_flat_model_and_a_wide_target_stay_loadable(folder: Path) -> None:
    """A model that predicts the mean has golden rows that are all alike; its target's spread is honest."""
    written = json.loads((folder / "scorer.json").read_text())
    written["parity"]["target_sd"] = 1e5
    written["intervals"] = TABLE | {"quantile": [0.0, 0.0]}
    (folder / "scorer.json").write_text(json.dumps(written))
    assert Scorer.load(folder).document.intervals is not None


def failing(folder: Path) -> None:
    """Put a graph there that passes every check and raises on every row: a place beyond its table."""
    content = graph_of(
        FIRST, op("IsNaN", "first", "never"), op("Where", "never zero far", "places"),
        op("Reshape", "places flat", "line"), op("Gather", "table line", axis=0),
        zero=ZERO, far=np.array([99]), table=np.zeros((2, 1)),
    )  # fmt: skip
    check_graph(content, columns=COLUMNS)
    (folder / "model.onnx").write_bytes(content)


def test_a_graph_that_raises_on_its_golden_rows_ends_the_server_with_3(folder: Path) -> None:
    """One line and exit code 3, not a traceback and another try every few seconds."""
    failing(folder)
    with pytest.raises(FailingGraph, match="fails on its golden rows"):
        Scorer.load(folder).replay_golden()
    words = [sys.executable, "-m", "serving", "--model", str(folder), "--port", "0"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3
    assert "fails on its golden rows" in done.stderr
    assert "Traceback" not in done.stderr
    recorded(
        "security",
        "A graph that raises on its golden rows (an index beyond a table)",
        "Refuses the version at its load",
        "Exit code 3 and one line; no restarts",
    )


def test_the_attacks_are_recorded() -> None:
    """What the tests above saw; a graph that does no harm passes."""
    check_graph(graph_of(FIRST, op("Neg", "first"), zero=ZERO), columns=COLUMNS)
    for content in (*LOOKS_ACROSS.values(), *DEADLY.values()):
        with pytest.raises(RefusedGraph):
            check_graph(content, columns=COLUMNS)
    recorded(
        "security",
        "18 graphs that look across rows (their mean, the first one, reversed, rows against rows), to read or move "
        "another client's answer",
        "Follows every value's shape, refuses what works along the rows, and replays the golden rows singly too",
        "Refused before onnxruntime sees it",
    )
    recorded(
        "security",
        "10 graphs that crash the process or fill its memory: whole numbers divided (SIGFPE), 6 GB and 8 TB of "
        "constants, a shape from the data, a chain of products",
        "Bounds every value and the steps for each row before anything is made",
        "Refused before onnxruntime sees it",
    )
    recorded(
        "security",
        "18 `scorer.json` that any graph would pass: no golden rows or 2,000, a deviation of 1e308, falling or "
        "negative quantiles, `versions` in a list",
        "Refuses what Slipway would not write",
        "Refused with one line",
    )
    assert (len(LOOKS_ACROSS), len(DEADLY), len(LIES)) == (18, 10, 18)
