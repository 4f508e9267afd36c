"""Pages whose rows are what tests saw: docs/reliability.md and docs/security.md."""

from __future__ import annotations

import os

from tests.conftest import ROOT


def recorded(page: str, *cells: str) -> None:
    """Check that a page says what a test saw; `make recorded` writes the rows.

    Call it last in a test, so that what it says was asserted.
    """
    path = ROOT / "docs" / f"{page}.md"
    row = f"| {' | '.join(cells)} |\n"
    if os.environ.get("WRITE_RECORDED") and row not in path.read_text():
        with path.open("a") as written:
            written.write(row)
    assert row in path.read_text(), f"run `make recorded`: {row}"
