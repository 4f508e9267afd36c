"""Keras networks become graphs: what each layer computes, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data.schema import Column, Schema
from serving.scorer.document import Parity
from serving.scorer.graph_checks.guard import check_graph
from serving.scorer.scoring import Session
from tests.training.compiling.network_rows import COLUMNS, FRAME, SCHEMA, TARGET
from training.compiling import compile_pipeline, compile_verified, pack_frame
from training.compiling.errors import ParityFailed, UncompilableStep
from training.compiling.keras import Network
from training.compiling.keras.activations import ACTIVATIONS
from training.compiling.keras.layers import PIECES

Build = Callable[[Any, dict[str, str]], list[Any]]


def functional(keras: Any, middle: Build, dtype: str) -> Any:
    """Return a model whose weights are random, between an adapted normalization and one unit."""
    keras.utils.set_random_seed(3)
    layers, kind = keras.layers, {"dtype": dtype}
    normalization = layers.Normalization(**kind)
    given = keras.Input((len(COLUMNS),))
    values = layers.Dense(6, **kind)(normalization(given))
    for step in middle(layers, kind):
        values = step(values)
    model = keras.Model(given, layers.Dense(1, **kind)(values))
    random = np.random.default_rng(3)
    for weights in model.trainable_variables:  # an offset of 0 or a scale of 1 would hide its absence
        weights.assign(weights + random.normal(scale=0.2, size=weights.shape))
    normalization.adapt(FRAME.to_numpy())
    return model


def furthest(model: Any, graph: bytes) -> float:
    """Return how far the graph is from Keras's own predictions on rows that nobody compared."""
    frame = FRAME.sample(400, random_state=1) * np.random.default_rng(1).uniform(
        0.5, 2.0, (400, len(COLUMNS))
    )
    check_graph(graph, columns=len(COLUMNS))
    found = Session(graph).predict(pack_frame(frame, SCHEMA))
    expected = model.predict(frame.to_numpy(), verbose=0).reshape(-1).astype(float)
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), np.std(expected))))


def nested(layers: Any, kind: dict[str, str]) -> list[Any]:
    """One model and one chain inside the model, the first called twice."""
    from keras import Input, Model, Sequential

    given = Input((6,), **kind)
    shared = Model(given, layers.Dense(6, **kind)(given))
    chain = Sequential([Input((6,), **kind), layers.Dense(6, "tanh", **kind)])
    return [shared, chain, lambda values: layers.Concatenate(**kind)([shared(values), values])]


LAYERS: dict[str, Build] = {
    "ReLU": lambda layers, kind: [layers.ReLU(**kind)],
    "ReLU up to": lambda layers, kind: [layers.ReLU(max_value=1.0, **kind)],
    "ReLU slope": lambda layers, kind: [layers.ReLU(negative_slope=0.1, max_value=1.0, **kind)],
    "ReLU from": lambda layers, kind: [layers.ReLU(negative_slope=0.3, threshold=0.2, **kind)],
    "LeakyReLU": lambda layers, kind: [layers.LeakyReLU(0.1, **kind)],
    "PReLU": lambda layers, kind: [layers.PReLU(**kind)],
    "ELU": lambda layers, kind: [layers.ELU(0.7, **kind)],
    "Activation": lambda layers, kind: [layers.Activation("swish", **kind)],
    "Dense": lambda layers, kind: [layers.Dense(4, use_bias=False, activation=layers.ELU(**kind), **kind)],
    "BatchNormalization": lambda layers, kind: [layers.BatchNormalization(**kind)],
    "BatchNormalization bare": lambda layers, kind: [
        layers.BatchNormalization(scale=False, center=False, **kind)
    ],
    "LayerNormalization": lambda layers, kind: [layers.LayerNormalization(**kind)],
    "LayerNormalization bare": lambda layers, kind: [
        layers.LayerNormalization(scale=False, center=False, **kind)
    ],
    "Normalization": lambda layers, kind: [
        layers.Normalization(mean=[0.3] * 6, variance=[2.0] * 6, invert=True, **kind)
    ],
    "Rescaling": lambda layers, kind: [layers.Rescaling(1 / 3, 0.1, **kind)],
    "Flatten": lambda layers, kind: [layers.Flatten(**kind)],
    "Identity": lambda layers, kind: [layers.Identity(**kind)],
    "Add": lambda layers, kind: [lambda v: layers.Add(**kind)([v, layers.Dense(6, **kind)(v), v])],
    "Concatenate": nested,
    "Dropout": lambda layers, kind: [layers.Dropout(0.4, **kind)],
    "AlphaDropout": lambda layers, kind: [layers.AlphaDropout(0.4, **kind)],
    "GaussianDropout": lambda layers, kind: [layers.GaussianDropout(0.4, **kind)],
    "GaussianNoise": lambda layers, kind: [layers.GaussianNoise(0.4, **kind)],
    "ActivityRegularization": lambda layers, kind: [layers.ActivityRegularization(0.1, **kind)],
}
"""Each layer between two dense ones."""


def test_every_layer_that_compiles_is_compared() -> None:
    """The comparisons below leave none out."""
    assert {name.split()[0] for name in LAYERS} == set(PIECES)


def activations(layers: Any, kind: dict[str, str]) -> list[Any]:
    """All activations side by side."""
    return [
        lambda values: layers.Concatenate(**kind)(
            [layers.Dense(3, activation=name, **kind)(values) for name in ACTIVATIONS]
        )
    ]


CASES = {
    **LAYERS,
    **{
        name: lambda layers, kind, name=name: [layers.Dense(5, activation=name, **kind)]
        for name in ACTIVATIONS
    },
}


@pytest.mark.soak
@pytest.mark.parametrize("name", CASES)
def test_a_network_in_float64_is_exact(name: str, keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer and each activation, on real and hard rows, against Keras's own predictions."""
    monkeypatch.setattr("training.compiling.parity.HARD_ROWS_EACH", 300)
    model = functional(keras, CASES[name], "float64")
    compiled = compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)
    assert compiled.parity.tolerance == Parity.TOLERANCE
    assert furthest(model, compiled.graph) <= Parity.TOLERANCE


@pytest.mark.soak
@pytest.mark.parametrize("name", ["activations", *(name for name in LAYERS if " " not in name)])
def test_a_network_in_float32_is_exact_but_for_its_rounding(
    name: str, keras: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exact beside the same network computed in float64, within 1e-5 of the network as it is."""
    monkeypatch.setattr("training.compiling.parity.HARD_ROWS_EACH", 300)
    model = functional(keras, LAYERS.get(name, activations), "float32")
    compiled = compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)
    assert Parity.TOLERANCE < compiled.parity.max_rel <= compiled.parity.tolerance == 1e-5
    assert furthest(model, compiled.graph) <= 1e-5


@pytest.mark.soak
def test_a_model_that_is_all_of_another_model_compiles(keras: Any) -> None:
    """Keras counts the calls of such a model from one, where it is the output, and else from zero."""
    inner = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    values, given = keras.Input((5,)), keras.Input((5,))
    for part in (inner, keras.Model(values, keras.layers.Dense(1)(values))):
        model = keras.Model(given, part(keras.layers.Dense(5)(given)))
        assert furthest(model, compile_pipeline(model, SCHEMA)) <= 1e-5


@pytest.mark.soak
def test_values_are_rounded_as_keras_rounds_them(keras: Any) -> None:
    """Its `predict` makes float32 of every input, unless Keras is set otherwise: 16,777,217 is 16,777,216 then."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1, dtype="float64")])
    matrix = np.full((1, 5), 16_777_217.0)
    for setting in ("float32", "float64"):
        keras.config.set_floatx(setting)
        try:
            if setting == "float64":
                model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
            found = Session(compile_pipeline(model, SCHEMA)).predict(matrix)
            np.testing.assert_allclose(found, model.predict(matrix, verbose=0).ravel(), rtol=1e-15)
        finally:
            keras.config.set_floatx("float32")


@pytest.mark.soak
def test_what_does_not_compile_is_refused_by_name(keras: Any) -> None:
    """Never a wrong number later."""
    layers, given = keras.layers, keras.Input((5,))

    class Doubled(layers.Dense):
        def call(self, values: Any) -> Any:
            return 2 * super().call(values)

    kept = layers.Dropout(0.5)(layers.Dense(2)(given), training=True)
    refused = {
        r"Softmax \('softmax'\)": [layers.Dense(3), layers.Softmax(name="softmax"), layers.Dense(1)],
        "its activation softmax": [layers.Dense(3, "softmax"), layers.Dense(1)],
        "its activation <lambda>": [layers.Dense(3, lambda x: x), layers.Dense(1)],
        "Doubled": [Doubled(1)],
        r"must be \[\(None, 5\), \(None, 1\)\]": [layers.Dense(2)],
        "it mixes float16, float32": [layers.Dense(1, dtype="mixed_float16")],
        "its axis is 0": keras.Model(given, layers.Dense(1)(layers.Concatenate(axis=0)([given, given]))),
        "called with more than its input": keras.Model(given, layers.Dense(1)(kept)),
        "Multiply": keras.Model(given, layers.Dense(1)(layers.Multiply()([given, given]))),
        "it was not built": keras.Sequential([layers.Dense(1)]),
        r"outputs are \[\(None, 5\), \(None, 5\)": keras.Model(
            [given, keras.Input((5,))], layers.Dense(1)(given)
        ),
    }
    for reason, given in refused.items():
        model = keras.Sequential([keras.Input((5,)), *given]) if isinstance(given, list) else given
        with pytest.raises(UncompilableStep, match=reason):
            compile_pipeline(model, SCHEMA)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Column("late", "category", categories=("no", "yes")), "'late' is a category"),
        (Column("late", "datetime"), "'late' is a datetime"),
        (Column("late", "number", missing=True), "'late' has missing values"),
    ],
)
def test_a_column_that_a_network_cannot_take_is_refused(column: Column, reason: str, keras: Any) -> None:
    """It takes numbers alone, and what it makes of a gap depends on the kernel."""
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(1)])
    with pytest.raises(UncompilableStep, match=reason):
        compile_pipeline(model, Schema((*SCHEMA.columns[:-1], column), target="arr_delay"))


@pytest.mark.soak
def test_a_network_that_drowns_in_rounding_is_refused(keras: Any) -> None:
    """A million more and a million less leaves one digit after the point: no tolerance hides that."""

    def far(layers: Any, kind: dict[str, str]) -> list[Any]:
        return [layers.Rescaling(1.0, 1e6, **kind), layers.ReLU(**kind), layers.Rescaling(1.0, -1e6, **kind)]

    model = functional(keras, far, "float32")
    with pytest.raises(ParityFailed, match="at most 1e-05 is allowed"):
        compile_verified(model, schema=SCHEMA, frame=FRAME, target=TARGET)


@pytest.mark.soak
@pytest.mark.parametrize("shapes", [[(None,)], [()], [(2, 3)], [(2,), (3,)]])
def test_a_network_that_takes_no_table_says_what_it_takes(shapes: list[Any], keras: Any) -> None:
    """Asked for its number of columns, before there are rows to try."""
    inputs = [keras.Input(shape) for shape in shapes]
    with pytest.raises(UncompilableStep, match=r"its inputs are .*, must be one of \(None, columns\)"):
        _ = Network(keras.Model(inputs, inputs)).n_features_in_
