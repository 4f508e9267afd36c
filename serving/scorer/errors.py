"""Why a version's files cannot be scored with.

NotAScorer      a file is absent, or is not what its name says
RefusedGraph    the graph asks for more than arithmetic on its input
NotAVersion     a version's folder holds what is no plain file
WrongDigest     the files are not those that were promoted
FailingGraph    the graph raises instead of predicting
GoldenMismatch  the graph no longer gives the predictions written beside it
UnsoundReasons  what explains a prediction does not add up to it

Each class is a dataclass (`data.facts`): its facts are keywords and attributes, its template makes the text.
"""

from __future__ import annotations

from serving.errors import ModelError


class NotAScorer(ModelError):
    """A file is absent, or is not what its name says."""

    template = "{file} {reason}: log the model again with Slipway"
    file: str
    reason: str


class RefusedGraph(ModelError):
    """The graph asks for more than arithmetic on its input."""

    template = "model.onnx is refused before it is run: {reason}; serve only files that Slipway wrote"
    reason: str


class NotAVersion(ModelError):
    """A version's folder holds what is no plain file, or has a name that none of ours has."""

    template = "{file!r} is no plain file: a version holds nothing else; log the model again"
    file: str


class WrongDigest(ModelError):
    """The files are not those that were promoted."""

    template = (
        "the {what} is {found}, expected {expected}: the files changed since they were recorded; "
        "download the version again"
    )
    expected: str
    found: str
    what: str = "scorer's digest"


class FailingGraph(ModelError):
    """The graph raises instead of predicting."""

    template = "model.onnx fails on its golden rows: {reason}; serve only files that Slipway wrote"
    reason: str


class GoldenMismatch(ModelError):
    """The graph no longer gives the predictions written beside it."""

    template = (
        "golden row {row} gives {found!r}, expected {expected!r}: this machine computes the model differently; "
        "compare the versions in scorer.json with those installed"
    )
    row: int
    expected: float
    found: float


class UnsoundReasons(ModelError):
    """What explains a prediction does not add up to it."""

    template = (
        "the reasons of row {row} miss its prediction by {apart:.1e} of it, and are not given out: "
        "train the model again, and report it if that does not help"
    )
    row: int
    apart: float
