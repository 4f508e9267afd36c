"""Values become one HTML page, by the templates beside this module.

The templates hold the HTML, the CSS and the fixed sentences. Every value is escaped as it is put in, and none is itself
read as a template; a value that a template asks for and nobody gave is an error, not an empty place.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

TEMPLATES = Path(__file__).with_name("templates")

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Picture:
    """A figure as a PNG within the page, and the name that stands for it where no pictures are shown."""

    name: str
    base64: str


def page(template: str, *, title: str, **values: object) -> str:
    """Return the page that a template makes of values."""
    return _ENVIRONMENT.get_template(template).render(title=title, **values)


def pictures(figures: Mapping[str, Figure], names: Iterable[str]) -> list[Picture]:
    """Draw those of the named figures that there are."""
    return [_drawn(name, figures[name]) for name in names if name in figures]


def _drawn(name: str, figure: Figure) -> Picture:
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return Picture(name, base64.b64encode(written.getvalue()).decode())
