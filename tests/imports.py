"""Which modules of ours import which, read from their source: also in functions, and for type checkers alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """`from source import name`, in one module; the target is the module that it reaches."""

    by: str
    source: str
    name: str
    target: str


def imports_of(root: Path, package: str, *, into: str) -> list[Import]:
    """Return each import of one package's modules that reaches a module of another, or of the same."""
    return [each for each in _all_imports_of(root, package) if f"{each.target}.".startswith(f"{into}.")]


@cache
def _all_imports_of(root: Path, package: str) -> list[Import]:
    return [each for path in sorted((root / package).rglob("*.py")) for each in _imports_in(path, root)]


@cache
def tree_of(path: Path) -> ast.Module:
    """Return a module's source as a tree, read once for all that look at it."""
    return ast.parse(path.read_text(encoding="utf-8"))


def names_of(root: Path, package: str) -> list[str]:
    """Return what a folder offers, by its `__all__`."""
    tree = tree_of(root / package.replace(".", "/") / "__init__.py")
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def late_names_of(root: Path, package: str) -> dict[str, str]:
    """Return what a folder imports at its first use (`data.faces`), and from which of its modules."""
    tree = tree_of(root / package.replace(".", "/") / "__init__.py")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "at_first_use":
            return dict(ast.literal_eval(node.args[1]))
    return {}


def cycle_in(imports: list[Import]) -> list[str]:
    """Return modules of which each imports the next and the last the first, or nothing."""
    following: dict[str, set[str]] = {}
    for each in imports:
        following.setdefault(each.by, set()).add(each.target)
    done: set[str] = set()
    for module in sorted(following):
        if found := _cycle_from(module, following, [], done):
            return found
    return []


def _cycle_from(module: str, following: Mapping[str, set[str]], path: list[str], done: set[str]) -> list[str]:
    if module in path:
        return path[path.index(module) :]
    if module in done:
        return []
    for other in sorted(following.get(module, ())):
        if found := _cycle_from(other, following, [*path, module], done):
            return found
    done.add(module)
    return []


def _imports_in(path: Path, root: Path) -> Iterator[Import]:
    by = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (Import(by, each.name, "", each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = str(node.module)
            for each in node.names:
                inner = f"{source}.{each.name}"
                yield Import(by, source, each.name, inner if _is_module(inner, root) else source)


def _is_module(name: str, root: Path) -> bool:
    path = root / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
