"""Names of files, modules and code in pages, docstrings and comments, and which of them stand for nothing.

Reads texts and sources and imports none of the packages, so it takes seconds. A file is known by its path from the
root or by its bare name, a module by its dotted name, which may go on to what the module defines. A name of code in
backticks must stand somewhere in the code. Plain words in backticks are not looked at: they may be anything.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import ROOT
from tests.imports import tree_of

PACKAGES = ("data", "serving", "training", "benchmarks", "tests")
FOLDERS = (*PACKAGES, "docs", "mlruns", "deploy", ".ci")

A_PATH = re.compile(rf"(?<![\w./:@>-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*\w")
A_FILE = re.compile(r"(?<![\w./*-])[A-Za-z_][\w-]*\.(?:py|md|proto)\b")
A_MODULE = re.compile(rf"(?<![\w./)\]-])(?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+\b(?!/)")
A_SCRIPT = re.compile(rf"python (?:{'|'.join(PACKAGES)})/\S+\.py")
A_NAME = re.compile(r"`([A-Za-z]\w*_\w+|[A-Z][a-z]+[A-Z]\w+)`")
A_PLACE = re.compile(r"`(\w+)` (?:in|of) `([\w./-]+\.py)`")
NOT_A_MODULE = re.compile(r"\.(py|md|csv|txt|json|parquet|xlsx)$")

OF_OTHERS = frozenset(
    {
        *("app.py", "fit.py", "clusters.py", "digits.py", "progression.py", "films.py", "recommender.py"),
        *("onnx.proto", "open_inference_grpc.proto"),
    }
)
"""Files that a page has its reader write, or that another project publishes."""


@dataclass(frozen=True)
class Text:
    """Something to read: where it stands, and what it says."""

    where: str
    said: str


def pages() -> Iterator[Text]:
    """Yield every page and settings file."""
    named = ("Makefile", "MLproject", "pyproject.toml", "conda.yaml", ".ci/run")
    for path in [*sorted(ROOT.glob("*.md")), *_below("*.md"), *(ROOT / name for name in named)]:
        yield Text(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))


def prose() -> Iterator[Text]:
    """Yield each docstring and comment of every module."""
    for path in _below("*.py"):
        name = str(path.relative_to(ROOT))
        for node in _docstrings(tree_of(path)):
            yield Text(f"{name}:{node.lineno}", str(node.value))
        for token in _comments(path.read_text(encoding="utf-8")):
            yield Text(f"{name}:{token.start[0]}", token.string)


def unknown_files(said: str) -> list[str]:
    """Return the files and modules that a text names and this repository lacks."""
    paths = [name for name in A_PATH.findall(said) if not (ROOT / name).exists()]
    files = [name for name in A_FILE.findall(said) if name not in _files() | OF_OTHERS]
    modules = [name for name in A_MODULE.findall(said) if not _is_module(name)]
    return [*paths, *files, *modules]


def unknown_code(said: str) -> list[str]:
    """Return the names in backticks that stand nowhere in the code."""
    return [name for name in A_NAME.findall(said) if not _code().issuperset(name.split("__"))]


def misplaced(said: str) -> list[str]:
    """Return the names that a text says to be in a file, both in backticks, and that the file does not define."""
    told = A_PLACE.findall(said)
    return [f"{name} in {file}" for name, file in told if not _defines(ROOT / file, [name])]


def started_as_files(said: str) -> list[str]:
    """Return commands that start a module by its file, where its imports would fail."""
    return A_SCRIPT.findall(said)


def _below(pattern: str) -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob(pattern))]


def _comments(source: str) -> list[tokenize.TokenInfo]:
    if "#" not in source:  # tokens take longer to read than trees
        return []
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [token for token in tokens if token.type == tokenize.COMMENT]


def _docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


@cache
def _files() -> frozenset[str]:
    return frozenset(path.name for path in [*ROOT.glob("*"), *_below("*")])


def _is_module(name: str) -> bool:
    """Whether a dotted name is a module, a folder of modules, or something that one of them defines."""
    if NOT_A_MODULE.search(name):
        return True
    at, rest = ROOT, name.split(".")
    while rest and (at / rest[0]).is_dir():
        at, rest = at / rest[0], rest[1:]
    if rest and (at / f"{rest[0]}.py").is_file():
        at, rest = at / f"{rest[0]}.py", rest[1:]
    return not rest or _defines(at if at.suffix else at / "__init__.py", rest)


def _defines(module: Path, names: list[str]) -> bool:
    body = tree_of(module).body if module.is_file() else []
    for name in names:
        found = [node for node in body if name in _defined(node)]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives to something."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {each.asname or each.name for each in node.names}
    if isinstance(node, ast.If):  # what a face imports at its first use stands under TYPE_CHECKING
        return set().union(*map(_defined, node.body))
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


@cache
def _code() -> frozenset[str]:
    """Return every name in the code, and every word in its texts and in MLproject; docstrings do not count."""
    words = set(re.findall(r"\w+", (ROOT / "MLproject").read_text(encoding="utf-8")))
    for path in _below("*.py"):
        prose = {id(each) for each in _docstrings(tree_of(path))}
        words.add(path.stem)
        for node in ast.walk(tree_of(path)):
            if id(node) not in prose:
                words.update(_words(node))
    return frozenset(words)


def _words(node: ast.AST) -> list[str]:
    said = [getattr(node, kind, None) for kind in ("id", "attr", "arg", "name", "asname", "value")]
    return re.findall(r"\w+", " ".join(each for each in said if isinstance(each, str)))
