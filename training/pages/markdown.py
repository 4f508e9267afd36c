"""Texts from a table inside Markdown, which MLflow's pages render: a category may be written to be an image."""

from __future__ import annotations

import re


def code(text: str) -> str:
    """Return a text as code on one line, in a fence of more backticks than any in it.

    >>> code("`![p](http://x/p.png)`")
    '`` `![p](http://x/p.png)` ``'
    """
    text = " ".join(text.split())
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def plain(text: str) -> str:
    r"""Return a text in which no image, link or tag is live.

    >>> plain("better: RMSE 3 [2, 4] on <b> ![p](http://x/p.png)")
    'better: RMSE 3 [2, 4] on \\<b> !\\[p]\\(http://x/p.png)'
    """
    return re.sub(
        r"!\[|\]\(|\]\[|<", lambda found: f"{found[0][:-1]}\\{found[0][-1]}", text.replace("\\", "\\\\")
    )
