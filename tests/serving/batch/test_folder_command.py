"""The command into a folder, as people and pods call it: in processes, and shared."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from serving.batch.__main__ import main
from tests.registered import LINE, Store


def test_the_command_writes_a_folder_and_two_pods_share_it(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it says ends up in a log: which part is done, and what is in the folder once all are."""
    words = ["--name", "line", "--version", "1", "--input", str(LINE), "--output"]
    Path("copies").mkdir()
    for copy in ("a", "b", "c"):
        Path("copies", f"{copy}.csv").write_bytes(LINE.read_bytes())
    words[5] = "copies"
    assert main([*words, "alone/"]) == 0
    assert "rows/s) into alone/" in capsys.readouterr().out
    assert main([*words, "shared/", "--parts", "2", "--part", "1"]) == 0
    assert "part 1 of 2 of shared/; others have not written theirs yet" in capsys.readouterr().out
    assert main([*words, "shared/", "--parts", "2", "--part", "0"]) == 0
    said = json.loads(Path("shared/_manifest.json").read_text())
    assert (said["model"], said["version"], said["rows"]) == ("line", "1", 3 * len(pd.read_csv(LINE)))
    assert {path.name: path.read_bytes() for path in Path("shared").iterdir()} == {
        path.name: path.read_bytes() for path in Path("alone").iterdir()
    }
