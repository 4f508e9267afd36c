"""What the compiler refuses.

    CompilingError
    ├── UncompilableStep    it has no piece for this step, or not for this setting of it
    ├── RefusedPair         the pair cannot be exact
    ├── ParityFailed        the graph differs from the pipeline
    ├── NoTensorFlow        a Keras network is to be read, and TensorFlow is not installed
    ├── UnreadableNetwork   a file is no Keras network, or runs code
    └── TooCostly           the graph is larger or slower than a scorer may be

All are raised at training time: a refused candidate never becomes a version. Facts are keywords, as `data.facts` says.
"""

from __future__ import annotations

from serving.scorer import Parity
from training.errors import TrainingError


class CompilingError(TrainingError):
    """The pipeline cannot become a graph that equals it."""


class UncompilableStep(CompilingError):
    """The compiler has no piece for this step, or not for this setting of it."""

    template = (
        "step {step} cannot be compiled: {reason}; use another step, add one to training/compiling, or serve "
        "the model as it is: --runtime pyfunc (docs/serving.md)"
    )
    step: str
    reason: str = "the compiler has no piece for it"


class RefusedPair(CompilingError):
    """Two steps that cannot be exact behind each other."""

    template = (
        "step {step} stands behind {behind}, which rounds differently elsewhere: one unit in the "
        "last place flips a split; give {step} the values as they are"
    )
    step: str
    behind: str


class ParityFailed(CompilingError):
    """The graph differs from the pipeline by more than rounding."""

    template = (
        "the graph differs from the pipeline by {max_rel:.3g} of max(|prediction|, target sd) on "
        "{rows} rows, at most {tolerance:.0e} is allowed: the model is not registered"
    )
    max_rel: float
    rows: int
    tolerance: float = Parity.TOLERANCE


class NoTensorFlow(CompilingError):
    """A Keras network is to be read, and what reads it is not installed."""

    template = "{path} takes TensorFlow to read: pip install '.[tensorflow]' in Slipway's folder"
    path: str


class UnreadableNetwork(CompilingError):
    """A file is no Keras network, or one that runs code of its own."""

    template = (
        "{path} cannot be read as a Keras network: {reason}: pass a model of Keras's own layers, "
        "as model.save('NAME.keras') writes it"
    )
    path: str
    reason: str


class TooCostly(CompilingError):
    """The graph is larger or slower than a scorer may be."""

    template = (
        "the graph takes {found:,.0f} {what}, at most {limit:,.0f} are allowed: pass fewer or smaller trees"
    )
    what: str
    found: float
    limit: float
