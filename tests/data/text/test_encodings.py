"""Which encoding a text is in: certain, or refused with a line and the parameter that decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import UnreadableSource
from data.sources import Layout, open_source


def town(folder: Path, name: str, encoding: str, *, asked: str = "", more: bytes = b"") -> tuple[str, str]:
    """Write a table with the name of a town, and return what is read and said of it."""
    path = folder / "t.csv"
    path.write_bytes(f"town,y\nBonn,1\n{name},2\n".encode(encoding) + more)
    source = open_source(str(path), layout=Layout(encoding=asked))
    return str(source.read()["town"][1].as_py()), " ".join(source.notes)


@pytest.mark.parametrize(
    "name",
    [
        "Köln",
        "Málaga",
        "Ærøskøbing",
        "L’Haÿ-les-Roses",
        "Besançon",
        "12 €",
        "2 m²",
        "the “big” one",
        "it’s “all of it” now",
        "Ñuñoa",
    ],
)
def test_windows_1252_is_read_and_said(name: str, tmp_path: Path) -> None:
    """What a spreadsheet on Windows writes; each of these was refused."""
    read, said = town(tmp_path, name, "cp1252")
    assert read == name
    assert "t.csv: cp1252 (as in '" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_not_talked_about(encoding: str, tmp_path: Path) -> None:
    """With or without its mark."""
    assert town(tmp_path, "Łódź", encoding) == ("Łódź", "")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_mark_says_the_encoding(encoding: str, tmp_path: Path) -> None:
    """Excel's "Unicode text" is UTF-16."""
    assert town(tmp_path, "Łódź", encoding) == ("Łódź", f"t.csv: {encoding}")


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("Pawłowice", "cp1250"),
        ("Москва", "cp1251"),
        ("Αθήνα", "cp1253"),
        ("東京", "shift-jis"),
        ("München", "mac-roman"),
        ("München", "cp437"),
        ("Malmö", "cp437"),
    ],
)
def test_what_may_be_another_encoding_is_refused_until_it_is_named(
    name: str, encoding: str, tmp_path: Path
) -> None:
    """`Paw³owice` would be a category that no request has."""
    with pytest.raises(UnreadableSource, match=r"t.csv, line 3: .*pass encoding=cp1252 if it reads well so"):
        town(tmp_path, name, encoding)
    assert town(tmp_path, name, encoding, asked=encoding)[0] == name


def test_one_wrong_byte_among_utf_8_is_refused(tmp_path: Path) -> None:
    """All other letters would be garbled."""
    with pytest.raises(UnreadableSource, match=r"line 3: 'K.*' is not UTF-8, though other letters are"):
        (tmp_path / "t.csv").write_bytes(b"town,note,y\nBonn,a,1\n" + b"K\xf6ln,\xc3\xbc,2\n")
        open_source(str(tmp_path / "t.csv"))
    with pytest.raises(UnreadableSource, match=r"line 4: 'Köln' is not UTF-8, though other letters are"):
        town(tmp_path, "Köln", "utf-8", more=b"K\xf6ln,3\n")


def test_bytes_are_refused_that_are_no_text(tmp_path: Path) -> None:
    """UTF-16 without its mark, or a binary file."""
    with pytest.raises(UnreadableSource, match="pass encoding=utf-16-le if it is"):
        town(tmp_path, "Ulm", "utf-16-le")
    assert town(tmp_path, "Ulm", "utf-16-le", asked="utf-16-le")[0] == "Ulm"


@pytest.mark.parametrize(("asked", "says"), [("latin-9000", "no encoding"), ("rot13", "no encoding")])
def test_an_encoding_that_is_none_is_refused(asked: str, says: str, tmp_path: Path) -> None:
    """And one that the bytes are not in."""
    with pytest.raises(UnreadableSource, match=says):
        town(tmp_path, "Köln", "cp1252", asked=asked)


@pytest.mark.parametrize("asked", ["utf-8", "ascii"])
def test_an_encoding_that_the_file_is_not_in_is_refused(asked: str, tmp_path: Path) -> None:
    """Never a replacement character."""
    with pytest.raises(UnreadableSource, match=r"is not (UTF-8|ascii)"):
        town(tmp_path, "Köln", "cp1252", asked=asked)


def test_a_late_letter_decides(tmp_path: Path) -> None:
    """Beyond what is looked at for the separator."""
    path = tmp_path / "t.csv"
    path.write_bytes(b"town,y\n" + b"Bonn,1\n" * 400_000 + "Köln,2\n".encode("cp1252"))
    assert open_source(str(path)).read()["town"][-1].as_py() == "Köln"
