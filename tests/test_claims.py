"""Every test can fail: it asserts something, itself or in a function of the tests that it calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

Function = ast.FunctionDef | ast.AsyncFunctionDef
CLAIMS = ("pytest.raises", "pytest.warns", "pytest.fail", "np.testing.")


@cache
def functions() -> dict[str, list[Function]]:
    """All functions and methods of the tests, by name."""
    found: dict[str, list[Function]] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for function in functions_in(path.read_text()):
            found.setdefault(function.name, []).append(function)
    return found


def functions_in(source: str) -> Iterator[Function]:
    """Yield the functions of a module, methods too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, Function):
            yield node


def claims(function: Function, *, within: tuple[str, ...] = ()) -> bool:
    """Say whether a function asserts, or calls by name, or as a method of what it was given, one that does."""
    if function.name in within:
        return False
    given = {argument.arg for argument in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name.startswith(CLAIMS):
            return True
        owner, _, method = name.rpartition(".")
        called = functions().get(method, []) if not owner or owner in given else []
        if any(claims(other, within=(*within, function.name)) for other in called):
            return True
    return False


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_each_test_asserts_something(path: Path) -> None:
    """One that only runs code holds nothing but that it raises nothing, and says so nowhere."""
    tests = [each for each in functions_in(path.read_text()) if each.name.startswith("test_")]
    assert [test.name for test in tests if not claims(test)] == []


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        ("assert thing", True),
        ("with pytest.raises(ValueError):\n        act()", True),
        ("np.testing.assert_allclose(a, b)", True),
        ("subprocess.run(words)", False),
        ("try:\n        act()\n    except ValueError:\n        pass", False),
    ],
)
def test_a_test_without_a_claim_is_found(body: str, holds: bool) -> None:
    """Else the test above would hold whatever the others are."""
    (function,) = functions_in(f"def test_it(thing):\n    {body}\n")
    assert claims(function) is holds
