"""Progress: something moves while a step takes long, and no line of another step is garbled."""

from __future__ import annotations

import io
import re
import time

import numpy as np
import pytest

from tests.training.search.searched_rows import chosen, rows_of
from training.console.progress import Console
from training.pages.report import standing_in_words
from training.search.choosing import Callbacks
from training.search.race import Standing
from training.time_budget import Budget


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def shown(written: str) -> list[str]:
    """Return the lines that a terminal shows in the end: what stands before an erasure is gone."""
    return [re.split("\r\x1b\\[K", line)[-1] for line in written.split("\n")]


def test_a_terminal_shows_a_changing_line_that_makes_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty seconds of silence looked like a hang; a line that stays would garble the next one."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("training.console.progress.TERMINAL_SECONDS", 0.01)
    stream = Terminal()
    console = Console(stream)
    with console.watch("search", lambda seconds: f"{seconds:.2f} s of 42"):
        time.sleep(0.2)
        console.say("warning", "column 'a' is left out")
        time.sleep(0.2)
    console.say("search", "ended by time")
    assert stream.getvalue().count("s of 42") > 3
    assert shown(stream.getvalue()) == ["  warning   column 'a' is left out", "  search    ended by time", ""]


def test_a_changing_line_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that wraps cannot be taken away: half of it would stay on the screen each time."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("training.console.progress.TERMINAL_SECONDS", 0.01)
    stream = Terminal()
    with Console(stream).watch("search", lambda _: "x" * 100):
        time.sleep(0.1)
    assert {len(line) for line in stream.getvalue().split("\r\x1b[K") if line} == {39}


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_log_gets_plain_lines_and_few(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log keeps every byte: no control characters, and no line each half second; so for a dumb terminal."""
    monkeypatch.setenv("TERM", "dumb")
    with Console(stream, log_seconds=0.1).watch("search", lambda _: "on"):
        time.sleep(0.35)
    assert "\x1b" not in stream.getvalue()
    assert 1 <= stream.getvalue().count("  search    on\n") <= 3


def test_a_stream_that_closes_ends_the_telling_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Such as a pipe into `head`: a thread's traceback would hide what the command says of it."""
    stream = io.StringIO()
    with Console(stream, log_seconds=0.02).watch("search", lambda _: "on"):
        stream.close()
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_the_search_says_how_far_it_is() -> None:
    """What the line shows: settings, families, and the best so far."""
    random = np.random.default_rng(0)
    x = random.uniform(-2.0, 2.0, (200, 2))
    told: list[Standing] = []
    choice = chosen(rows_of(x, 3.0 * x[:, 0]), seconds=1.0, callbacks=Callbacks(standing=told.append))
    assert [each.trials for each in told] == list(range(1, len(choice.trials) + 1))
    words = [f"{Budget(1.0).elapsed_in_words()}, {standing_in_words(each, 'EUR')}" for each in told]
    assert re.fullmatch(
        r"0 s of \d, 1 settings of 1 family, best so far: mean 3.\d+ EUR on 200 rows", words[0]
    )
    assert "best so far: ridge" in words[-1]


def test_a_name_with_a_line_break_stays_in_its_line() -> None:
    """Nor does a column's name command the terminal."""
    stream = io.StringIO()
    Console(stream).say("check", "2 features: new\nline, \x1b[2Jred, größe")
    assert stream.getvalue() == "  check     2 features: new\\nline, \\x1b[2Jred, größe\n"
