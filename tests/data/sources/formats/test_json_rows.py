"""JSON as it comes: lines, arrays, objects over several lines; what is no row is one line with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import EmptySource, SourceError
from data.sources import Source, open_source
from data.sources.formats import json_rows
from data.tables import load_table

ROWS = [{"x": 1, "town": "Ulm, a[1]"}, {"x": 2.5, "town": None}, {"x": None, "town": '}"{'}]


def opened(folder: Path, content: str | bytes, name: str = "t.json") -> Source:
    """Write a file and open it."""
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(folder / name))


@pytest.mark.parametrize("name", ["t.json", "t.jsonl"])
@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=3),
        "\ufeff  " + json.dumps(ROWS),
        "\n".join(map(json.dumps, ROWS)),
        "\r\n".join(map(json.dumps, ROWS)) + "\r\n\r\n",
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        " ".join(map(json.dumps, ROWS)),
        json.dumps(ROWS).encode("utf-16"),
    ],
)
def test_one_table_in_each_way_to_write_it(content: str | bytes, name: str, tmp_path: Path) -> None:
    """The content decides, not the ending; an array was refused."""
    assert opened(tmp_path, content, name).read().to_pylist() == ROWS


@settings(max_examples=100)
@given(
    st.lists(st.fixed_dictionaries({"n": st.integers(-99, 99), "t": st.text(max_size=9)}), min_size=1),
    st.sampled_from([None, 0, 2]),
    st.integers(1, 70),
)
def test_an_array_in_parts_of_any_size_is_all_its_objects(
    rows: list[dict[str, object]], indent: int | None, part: int
) -> None:
    """Python's own reader is the reference; texts hold brackets, quotes and escapes."""
    import io

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_PART", part)
        text = json.dumps(rows, indent=indent, ensure_ascii=False)
        file = io.BytesIO(text.encode("utf-8", errors="surrogatepass"))
        found = [json.loads(each) for each in json_rows._objects(json_rows._Text(file), "t.json")]
    assert found == rows


def test_columns_and_types_that_come_late_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first block decided which columns there are, and what they hold."""
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", 64)
    lines = ['{"x": 1, "d": "2024-01-01"}'] * 50 + ['{"d": "soon", "x": 1.5, "z": 5}', '{"x": null}']
    table = opened(tmp_path, "\n".join(lines)).read()
    assert table["x"].to_pylist() == [1.0] * 50 + [1.5, None]
    assert table["d"].to_pylist() == ["2024-01-01"] * 50 + ["soon", None]
    assert table["z"].to_pylist() == [None] * 50 + [5, None]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"x": 1},\n{"x": 2 "y": 1}]', "object 2: is no JSON"),
        ('[{"x": 1}, {"x": 2}', "object 2: is the last, and the array is not closed"),
        ('[{"x": 1}] {"x": 2}', "object 1: is the last, and more follows"),
        ('{"x": 1} ]', "object 2: is no JSON"),
        ('[{"x": 1} {"x": 2}]', "object 1: is followed by no comma"),
        ("[1, 2]", "object 1: is 1 and no object"),
        ('"x"', 'object 1: is "x" and no object'),
        ('{"x": 1}\n{"x": 2\n{"x": 3}\n', "line 2: is no object of JSON"),
        ('{"x": 1}\n\n[2]\n', "line 3: is no object of JSON"),
        ('{"x": 1}\n{"x": "a"}\n', "object 2: column 'x' changed from number to string"),
        ('[{"x": 1, "x": 2}]', "object 1: column 'x' was specified twice"),
        ('{"x": 1}\n' * 30 + '{"x": "a"}\n', "column 'x'"),
        ("[]", "has no rows"),
        ("", "has no rows"),
    ],
)
def test_what_is_no_row_is_one_line_with_its_place(
    content: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last but two has its text in a later block than its numbers."""
    monkeypatch.setattr(json_rows, "BLOCK_BYTES", 128)
    with pytest.raises(SourceError, match=says) as caught:
        opened(tmp_path, content).read()
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, EmptySource) or "t.json" in str(caught.value)


def test_nested_columns_are_refused_by_their_name(tmp_path: Path) -> None:
    """An object within an object is no cell."""
    doubts = load_table(opened(tmp_path, '[{"a": {"b": 1}, "y": 2}]')).doubts
    assert str(doubts["a"]).startswith("column 'a': holds struct<b: int64>: exclude it, or make it plain")
