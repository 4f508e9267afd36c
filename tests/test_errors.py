"""All errors of the house: facts once, texts that can be made of them, and trees that are as drawn."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from string import Formatter
from typing import get_type_hints

import pytest

from data.facts import FactError
from tests.conftest import ROOT

TREES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("data", "serving", "training", "slipway")
    for path in sorted((ROOT / package).rglob("errors.py"))
]
"""The package's, and those of rooms that have their own."""
SAMPLES = {int: 3, float: 0.5, str: "word", Path: Path("folder"), object: "cell"}


def below(kind: type[FactError]) -> Iterator[type[FactError]]:
    """A class and all that were made of it."""
    yield kind
    for child in kind.__subclasses__():
        yield from below(child)


def errors_of(module: str) -> list[type[FactError]]:
    """The classes that a module defines."""
    importlib.import_module(module)
    return [kind for kind in dict.fromkeys(below(FactError)) if kind.__module__ == module]


ALL = [kind for module in TREES for kind in errors_of(module)]


def made(kind: type[FactError]) -> FactError:
    """An error of this class with some facts."""
    types = get_type_hints(kind)
    asked = [each.name for each in fields(kind) if each.name != "words" and each.default is MISSING]
    facts = {name: SAMPLES.get(types[name], ["one", "other"]) for name in asked}
    return kind(**facts | ({"kind": "number"} if "kind" in facts else {}))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_template_can_be_filled(kind):
    """A template names facts by text, where mypy does not look: a slip would show when the error is raised."""
    for _, name, _, _ in Formatter().parse(kind.template):
        assert name is None or name in {each.name for each in fields(kind)} or hasattr(kind, name)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_no_fact_is_kept_unsaid(kind):
    """What is passed to an error is there to be said; what only its words need is named by its properties."""
    source = Path(importlib.import_module(kind.__module__).__file__).read_text()
    said = {name for _, name, _, _ in Formatter().parse(kind.template)}
    own = set(vars(kind).get("__annotations__", ()))
    assert {name for name in own - said if f"self.{name}" not in source} == set()


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_way_to_another_process(kind):
    """Pools pickle what a task raises: an error that cannot be made again hangs or hides the reason."""
    error = made(kind) if kind.template != "{words}" else kind("in words")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def drawn(text: str) -> dict[str, str | None]:
    """Each class of a docstring's tree, and the one that it hangs from: the nearest above that stands further left."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if branch := re.fullmatch(r"([ │├└─]*)([A-Z]\w+)(  .*)?", line):
            above = [each for each in above if each[0] < len(branch[1])]
            found[branch[2]] = above[-1][1] if above else None
            above.append((len(branch[1]), branch[2]))
    return found


@pytest.mark.parametrize("module", TREES)
def test_the_tree_is_as_drawn(module):
    """Readers find the errors, and what is one of what, in the module's docstring."""
    kinds = errors_of(module)
    parents = {kind.__name__: next((b for b in kind.__bases__ if b in kinds), None) for kind in kinds}
    tree = drawn(importlib.import_module(module).__doc__)
    assert tree == {name: parent and parent.__name__ for name, parent in parents.items()}


def test_a_fact_that_lacks_or_is_unknown_is_refused():
    """As for any dataclass: a text with a hole in it would reach the user."""
    kind = next(kind for kind in ALL if kind.__name__ == "BrokenLine")
    with pytest.raises(TypeError, match="found"):
        kind(where="houses.csv", line=3, expected=2)
    with pytest.raises(TypeError, match="wher"):
        kind(wher="houses.csv", line=3, expected=2, found=1)


def test_a_text_hides_what_an_address_holds():
    """Texts go to logs and to MLflow; a driver's address has a password."""
    kind = next(kind for kind in ALL if kind.__name__ == "EmptySource")
    assert "hunter22" not in str(kind(where="postgresql://me:hunter22@host/db"))
