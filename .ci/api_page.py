"""Write docs/api.md from the docstrings of what may be imported: `make docs`."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
MODULES = {
    "slipway": ("train", "Trained", "load", "Model"),
    "serving.scorer": ("Scorer", "Intervals", "Bounds"),
}
START = """# What may be imported

`slipway` is the face for notebooks and scripts ([with examples](python.md)). `serving.scorer` reads a version's two
files ([their format](scorer-format.md)) with numpy and onnxruntime alone. What is not on this page may change without
notice.

<!-- written by `make docs` from the docstrings -->
"""
TITLE = re.compile(r"^(\w+)\n-{3,}\n", flags=re.MULTILINE)


def page() -> str:
    """Return the whole page."""
    return START + "".join(part for name, names in MODULES.items() for part in of_module(name, names))


def of_module(name: str, names: tuple[str, ...]) -> Iterator[str]:
    """Yield a module's heading, and each of its names with what is said of it."""
    module = importlib.import_module(name)
    yield f"\n## `{name}`\n\n{first_line(module)}\n"
    for each in names:
        yield from of_object(each, getattr(module, each), level=3)


def of_object(name: str, what: Any, *, level: int) -> Iterator[str]:
    """Yield a function, or a class with its public methods and properties."""
    yield f"\n{'#' * level} `{name}`\n\n"
    if not isinstance(what, property) and (not inspect.isclass(what) or "__init__" in vars(what)):
        yield f"```python\n{name}{signature(what, width=80 - len(name))}\n```\n\n"
    yield prose(inspect.getdoc(what) or "")
    if inspect.isclass(what):
        for member, written in vars(what).items():
            value = getattr(written, "__func__", written)
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                yield from of_object(f"{name}.{member}", value, level=level + 1)


def signature(what: Any, *, width: int) -> str:
    """Return the parameters as they are written, without the quotes around types; one a line where they are long."""
    found = inspect.signature(what)
    asked = [each for name, each in found.parameters.items() if name not in ("self", "cls")]
    whole = plain(str(found.replace(parameters=asked)))
    if len(whole) <= width:
        return whole
    stars = ["*" if each.kind is each.KEYWORD_ONLY else "" for each in asked]
    lines = [f"    {plain(str(each))},\n" for each in asked]
    if "*" in stars:
        lines.insert(stars.index("*"), "    *,\n")
    return f"(\n{''.join(lines)}){whole[whole.rindex(' -> ') :]}"


def plain(written: str) -> str:
    """Return a signature without the quotes around its types."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", written)


def prose(said: str) -> str:
    """Return a docstring as Markdown: the sections of numpy's form as lists."""
    before, *rest = TITLE.split(said)
    parts = [f"{before.strip()}\n"]
    for title, body in zip(rest[::2], rest[1::2], strict=True):
        parts.append(f"\n**{title}**\n\n{entries(body)}\n")
    return "".join(parts)


def entries(body: str) -> str:
    """Return the entries of a section: a name and its type on one line, the rest indented below."""
    found = re.findall(r"^(\S.*)\n?((?:^ +.*\n?)*)", body.strip(), flags=re.MULTILINE)
    if not any(below for _, below in found):
        return body.strip()
    return "\n".join(entry(*head.partition(" : ")[::2], " ".join(below.split())) for head, below in found)


def entry(name: str, kind: str, meaning: str) -> str:
    """Return one line of a list."""
    return f"* `{name}`" + (f" ({kind})" if kind else "") + (f": {meaning}" if meaning else "")


def first_line(module: Any) -> str:
    """Return a module's first sentence."""
    return (inspect.getdoc(module) or "").partition("\n")[0]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
