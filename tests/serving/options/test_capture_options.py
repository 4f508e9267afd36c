"""What `--capture` and its options refuse at the start: one line that says what, where and how to mend it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from data.captures import Places
from serving.errors import SettingsError
from serving.options import capture_options, parser
from serving.settings import CaptureRules, Model, Settings
from tests.conftest import ROOT


def rules_of(*words):
    """Return the rules that a command line gives."""
    return capture_options.capture_rules(parser().parse_args(["--model", "m", *words]))


@pytest.fixture()
def model(flights):
    """A model of the flights: a folder and columns."""
    return Model(str(flights / "scorer"), name="flights")


def prepare(model, rules):
    """Prepare a server's captures."""
    capture_options.prepare_captures(Settings(models=(model,), capture=rules))


def test_all_options_reach_the_workers():
    """They travel as JSON."""
    rules = rules_of(
        *("--capture", "/c", "--capture-share", "0.5", "--capture-rows", "7", "--capture-sync", "0"),
        *("--capture-rotate", "5", "--capture-keep", "36h"),
        *("--capture-exclude", "a, b", "--capture-exclude", "c", "--capture-hash", "d"),
        *("--capture-hash-key", "/k"),
    )
    assert rules == CaptureRules("/c", 0.5, 7, 0.0, 5.0, ("a", "b", "c"), ("d",), "/k", 129_600.0)
    settings = Settings(models=(), capture=rules)
    assert Settings.from_dict(json.loads(settings.as_json())) == settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--capture-share", "0.5"], "--capture-share goes with --capture DIR"),
        (["--capture-hash-key", "k"], "--capture-hash-key goes with --capture DIR"),
        (["--capture-keep", "90d"], "--capture-keep goes with --capture DIR"),
        (["--capture", "c", "--capture-hash", "carrier"], "go together"),
        (["--capture", "c", "--capture-hash-key", "k"], "go together"),
        (["--capture", "c", "--capture-exclude", "a,,b"], "a name between two commas is empty"),
        (["--capture", "c", "--capture-exclude", ""], "is empty"),
    ],
)
def test_options_that_do_not_go_together_are_refused(words, said):
    """An option that does nothing is one that somebody relies on."""
    with pytest.raises(SettingsError, match=said):
        rules_of(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--capture-share", "0"],
        ["--capture-share", "1.1"],
        ["--capture-rows", "0"],
        ["--capture-sync", "-1"],
        ["--capture-rotate", "601"],
    ],
)
def test_numbers_out_of_range_are_refused(words, capsys):
    """A share of 0 is no capture; a file that is open a quarter after midnight has rows of a day that was taken."""
    with pytest.raises(SystemExit, match="2"):
        rules_of("--capture", "c", *words)
    assert "is not between" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exclude": ("carier",)}, "--capture-exclude carier: no such column; the model has date"),
        ({"hashed": ("carier",)}, "--capture-hash carier: no such column; the model has date"),
        ({"hashed": ("distance",)}, "--capture-hash distance: is a number, and categories alone are hashed"),
        ({"hashed": ("carrier",), "exclude": ("carrier",)}, "is left out by --capture-exclude, too"),
    ],
)
def test_columns_that_cannot_be_so_are_refused(model, tmp_path, change, said):
    """A typo would write in the clear what was to be hidden."""
    with pytest.raises(SettingsError, match=said):
        prepare(model, CaptureRules(folder=str(tmp_path / "c"), **change))
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        ("c/frames/key", b"k" * 32, "lies with the captures"),
        ("key", b"short\n", "has 5 bytes, needs 16 or more"),
        ("key", None, "cannot be read"),
    ],
)
def test_a_key_that_protects_nothing_is_refused(model, tmp_path, place, content, said):
    """Beside the hashes, or short enough to be found by trying."""
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content)
    rules = CaptureRules(folder=str(tmp_path / "c"), hashed=("carrier",), key_file=str(path))
    with pytest.raises(SettingsError, match=said):
        prepare(model, rules)


def test_the_folder_is_for_its_owner(model, tmp_path):
    """Whatever the umask; one that was open to others is closed, and one above it is left as it is."""
    folder = tmp_path / "c"
    (folder / "frames").mkdir(parents=True)
    (folder / "frames").chmod(0o755)
    prepare(model, CaptureRules(folder=str(folder)))
    assert Places(folder).frames.stat().st_mode & 0o777 == 0o700
    prepare(model, CaptureRules(folder=str(tmp_path / "new")))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_server_that_cannot_write_ends_with_one_line(line, tmp_path):
    """Exit code 2, before it serves: captures that were asked for and are not written are found a month later."""
    (tmp_path / "file").touch()
    words = ["--model", str(line), "--port", "0", "--capture", str(tmp_path / "file" / "captures")]
    done = subprocess.run(
        [sys.executable, "-m", "serving", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"error: --capture {tmp_path}/file/captures: cannot be written (Not a directory)")
