"""One HTML page with nothing to load from elsewhere, so that MLflow's artifact viewer shows it whole.

The parts take text and escape it; only `table` takes cells that are HTML already.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from matplotlib.figure import Figure

STYLE = """
body {font: 15px/1.5 system-ui, sans-serif; color: #1f2d3d; background: #fff; max-width: 52rem; margin: 2rem auto;
  padding: 0 1rem; overflow-wrap: anywhere}
h1 {font-size: 1.4rem; margin-bottom: 0} h2 {font-size: 1.1rem; margin: 2rem 0 .4rem} p {margin: .4rem 0}
img {max-width: 100%; margin-top: 1rem; display: block}
table {border-collapse: collapse; margin: 1rem 0; width: 100%; overflow-wrap: normal}
.wide {overflow-x: auto}
td, th {text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #dde4ea; vertical-align: top}
pre {background: #f3f6f8; padding: .8rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px}
.no {color: #b3261e; font-weight: 600} .yes {color: #1b6e3c} .note {color: #52616f}
"""


def page(title: str, *parts: str) -> str:
    """Return the whole page."""
    heading = escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title><style>{STYLE}</style>'
        f"<h1>{heading}</h1>{''.join(parts)}</html>"
    )


def section(title: str, *parts: str) -> str:
    """Return parts under a heading."""
    return f"<h2>{escape(title)}</h2>{''.join(parts)}"


def paragraph(text: str) -> str:
    """Return a paragraph."""
    return f"<p>{escape(text)}</p>"


def note(text: str) -> str:
    """Return a paragraph that stands back."""
    return f'<p class="note">{escape(text)}</p>'


def code(text: str) -> str:
    """Return text to copy."""
    return f"<pre>{escape(text)}</pre>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="wide"><table><tr>{names}</tr>{body}</table></div>'


def plain_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of text."""
    return table(head, [[escape(cell) for cell in row] for row in rows])


def picture(name: str, figure: Figure) -> str:
    """Return a figure as an image within the page."""
    written = io.BytesIO()
    figure.savefig(written, format="png")
    inline = base64.b64encode(written.getvalue()).decode()
    return f'<img alt="{escape(name)}" src="data:image/png;base64,{inline}">'
