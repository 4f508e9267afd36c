"""`slipway`: the entry points' commands with their words in order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pandas as pd
import pytest

import slipway
from serving.batch import __main__ as batch
from serving.options import parser as serving_parser
from serving.running import await_port, free_port
from slipway.__main__ import PLACES, SERVING, main
from tests.registered import LINE, Store
from training.commands import parser, summaries
from training.commands.parameters import declared


def test_every_command_of_training_has_its_words() -> None:
    """A new entry point is asked for here in the same hour, and its words are its own parameters."""
    assert {*summaries(), *SERVING} == set(PLACES)
    for command in parser.COMMANDS:
        known = [each.name for each in declared(command)]
        assert set(PLACES[command.word()]) <= set(known)
        needed = {each.name for each in declared(command) if each.is_required}
        assert needed <= set(PLACES[command.word()]), command


def test_the_words_of_servings_commands_are_its_parameters() -> None:
    """They have parsers of their own."""
    for command, line in {"score": batch.parser(), "serve": serving_parser()}.items():
        needed = {action.dest for action in line._actions if action.required}
        assert needed == set(PLACES[command])


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With the words that it takes, and what it is for."""
    assert main(["--help"]) == main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: slipway ")
    for command, words in PLACES.items():
        assert f"  {command:<12}{' '.join(word.upper() for word in words)}" in said


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian", "a.csv", "y"], "slipway: there is no command 'trian': did you mean 'train'?"),
        (["history", "a", "b"], "slipway: history takes NAME, found 'b' after them: write --name value"),
        (["train", "a.csv"], "slipway: the following arguments are required: --target"),
        (
            ["score", "line", "absent.csv", "out.csv", "--covrage", "1"],
            "slipway: unknown parameter 'covrage'",
        ),
    ],
)
def test_a_mistake_gets_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And exit code 2."""
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(line)


def test_history_and_score_do_what_the_entry_points_do(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Words in order are the parameters' names."""
    assert main(["history", "line"]) == 0
    assert "the first" in capsys.readouterr().out
    assert main(["score", "line", str(LINE), str(tmp_path / "scored.csv")]) == 0
    scored = pd.read_csv(tmp_path / "scored.csv")
    assert len(scored) == 200 and scored["prediction"].notna().all()


def test_serve_takes_a_name_for_its_champion(store: Store) -> None:
    """The real command, asked by HTTP and ended by its process id."""
    port = free_port()
    words = [sys.executable, "-m", "slipway", "serve", "line", "--port", str(port)]
    with subprocess.Popen(words, env=store.workspace.environment, stderr=subprocess.PIPE) as server:
        try:
            await_port(port)
            request = Request(
                f"http://127.0.0.1:{port}/invocations",
                data=b'{"dataframe_records": [{"x": 1.0}]}',
                headers={"Content-Type": "application/json"},
            )
            with urlopen(request, timeout=10) as answer:
                (predicted,) = json.load(answer)["predictions"]
        finally:
            server.terminate()
        assert server.wait(timeout=30) == 0
    assert predicted == slipway.load("models:/line@champion").predict({"x": [1.0]})[0]
