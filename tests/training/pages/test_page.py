"""A page shows text as it is, whatever the text."""

from __future__ import annotations

from html.parser import HTMLParser

from training.pages import html

HOSTILE = '<script>alert(1)</script> & "a" <b>'


class Reader(HTMLParser):
    """Collects tags and text as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Note a tag."""
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)


def test_text_from_a_table_stays_text() -> None:
    """A column or a category may be called anything; in a viewer on a team's server it must not run."""
    reader = Reader()
    parts = [
        html.paragraph(HOSTILE),
        html.note(HOSTILE),
        html.code(HOSTILE),
        html.plain_table([HOSTILE], [[HOSTILE]]),
    ]
    reader.feed(html.page(HOSTILE, html.section(HOSTILE, *parts)))
    assert not {"script", "b"} & set(reader.tags)
    assert reader.texts.count(HOSTILE) == 8
