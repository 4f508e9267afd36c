"""Pages as a browser would see them, and texts that would like to be more than texts there."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = (
    "<script>alert(1)</script> & \"a\" 'b' <b> {{7*7}} {% raw %} {# c #} ![p](http://127.0.0.1:1/p.png) &lt;"
)


class Reader(HTMLParser):
    """Collects tags, texts and addresses as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and what it would fetch or lead to."""
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in {"src", "href", "srcset", "data"}]

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data
