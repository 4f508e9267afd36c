"""What can go wrong between a registered version and an answer.

ServingError
└── ModelError             the version's files cannot be served
    ├── NotAScorer         a file is absent, or is not what its name says
    ├── RefusedGraph       the graph asks for more than arithmetic on its input
    ├── WrongDigest        the files are not those that were promoted
    └── GoldenMismatch     the graph no longer gives the predictions written beside it

Texts say what, where, found and the repair, and never a path of this machine.
"""

from __future__ import annotations

from typing import Any


class ServingError(Exception):
    """Anything that the server reports rather than hides."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.__dict__.update(facts)


class ModelError(ServingError):
    """The version's files cannot be served."""


class NotAScorer(ModelError):
    """A file is absent, or is not what its name says."""

    def __init__(self, *, file: str, reason: str) -> None:
        super().__init__(f"{file} {reason}: log the model again with Slipway", file=file, reason=reason)


class RefusedGraph(ModelError):
    """The graph asks for more than arithmetic on its input."""

    def __init__(self, *, reason: str) -> None:
        super().__init__(
            f"model.onnx is refused before it is run: {reason}; serve only files that Slipway wrote",
            reason=reason,
        )


class WrongDigest(ModelError):
    """The files are not those that were promoted."""

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"the scorer's digest is {found}, expected {expected}: the files changed since; "
            "download the version again",
            expected=expected,
            found=found,
        )


class GoldenMismatch(ModelError):
    """The graph no longer gives the predictions written beside it."""

    def __init__(self, *, row: int, expected: float, found: float) -> None:
        super().__init__(
            f"golden row {row} gives {found!r}, expected {expected!r}: this machine computes otherwise; "
            "compare the versions in scorer.json with those installed",
            row=row,
            expected=expected,
            found=found,
        )
