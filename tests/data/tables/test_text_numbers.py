"""Texts have the numbers that a dictionary of them would give, whatever comes together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.tables.streams.text_numbers import TextNumbers


def test_texts_are_numbered_as_by_a_dictionary_and_come_back(tmp_path: Path) -> None:
    """The empty one, those of more bytes than letters, and a part without any."""
    random, numbers, known = np.random.default_rng(0), TextNumbers(tmp_path / "texts"), dict[str, int]()
    for count in (0, 1, 300, 300, 0, 300):
        drawn = {f"ü{number}" if number else "" for number in random.integers(0, 500, count).tolist()}
        texts = np.array(sorted(drawn), dtype=object)
        for text in texts:
            known.setdefault(text, len(known))
        assert numbers.of(texts).tolist() == [known[text] for text in texts]
    assert list(numbers.texts(10_000)) == [*known]
    assert list(numbers.texts(7)) == [*known][:7]
    assert (len(numbers), "" in known) == (len(known), True)


def test_a_column_of_no_text_has_none(tmp_path: Path) -> None:
    """Its file is empty."""
    assert not len(TextNumbers(tmp_path / "texts").texts(5))
