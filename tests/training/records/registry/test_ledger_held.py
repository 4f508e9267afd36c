"""What tags and files say is held to the ledger: by `history`, `promote`, `rollback` and `score`."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest

from serving.batch import __main__ as batch
from serving.registry.promotions import Entry
from serving.scorer import version_files
from tests.conftest import Workspace
from tests.recorded import recorded
from tests.registered import LINE, Store
from training.__main__ import main
from training.jobs.champions import history
from training.records import ledger, model_registry, tag_names
from training.records.errors import NoEarlierChampion, TagsDiffer, WrongFiles

HISTORY = ["history", "--name", "line"]


def second(store: Store) -> None:
    """Promote version 2 as well."""
    ledger.record(
        ledger.settle("line"), model_registry.version("line", "2"), kind="promotion", reason="better"
    )


def forge(store: Store, version: str = "1") -> None:
    """1.4: other numbers in the scorer, and a pin that fits them."""
    from serving.scorer.scorer_files import digest_in

    scorer = store.artifacts(version) / "scorer"
    document = scorer / "scorer.json"
    document.write_text(document.read_text().replace('"y"', '"z"'))
    store.tag(version, tag_names.PINNED, digest_in(scorer))


def alias_moved(store: Store) -> None:
    second(store)
    store.client.set_registered_model_alias("line", "champion", "1")


def alias_deleted(store: Store) -> None:
    store.client.delete_registered_model_alias("line", "champion")


def pin_differs(store: Store) -> None:
    store.tag("1", tag_names.PINNED, "0" * 64)


def pin_deleted(store: Store) -> None:
    store.tag("1", tag_names.PINNED, None)


def files_tag_differs(store: Store) -> None:
    store.tag("1", "slipway.files_digest", "0" * 64)


def file_changed(store: Store) -> None:
    path = store.artifacts("1") / "model.skops"
    path.write_bytes(path.read_bytes() + b"x")


def files_gone(store: Store) -> None:
    shutil.rmtree(store.artifacts("1"))


def model_deleted(store: Store) -> None:
    """7.7: the logged model, and what `mlflow gc` does to its files."""
    model = store.client.get_model_version("line", "1").source.removeprefix("models:/")
    shutil.rmtree(store.artifacts("1"))
    store.client.delete_logged_model(model)


def everything_deleted(store: Store) -> None:
    store.client.delete_registered_model("line")


FOUND = [
    (alias_moved, "its alias was moved to version 1 by somebody else"),
    (alias_deleted, "its alias was deleted by somebody else"),
    (pin_differs, "its pinned digest is 0000000000000000, entry 1 says"),
    (pin_deleted, "its pinned digest is gone, entry 1 says"),
    (files_tag_differs, "its files' digest is 0000000000000000, entry 1 says"),
    (forge, "its pinned digest is"),
    (file_changed, "has other files than it was registered with"),
    (files_gone, "or are gone"),
    (model_deleted, "or are gone"),
    (everything_deleted, "its alias was deleted"),
]


@pytest.mark.parametrize(("harm", "says"), FOUND)
def test_history_ends_with_3_where_anything_does_not_add_up(
    harm, says: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A monitor sees the exit code; nobody reads the word verified."""
    assert main(HISTORY) == 0
    assert "verified" in capsys.readouterr().out
    harm(store)
    assert main(HISTORY) == 3
    told = capsys.readouterr()
    assert says in told.err
    assert "verified" not in told.out
    if harm is forge:
        cells = ("files of the champion and its pin rewritten (artifact store and tags)",)
        recorded("security", *cells, "`history` names pin and entry, exit 3", "never the word verified")


def test_a_move_that_the_ledger_has_taken_in_is_no_finding(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or a monitor would be red for ever: it is a note."""
    alias_moved(store)
    ledger.record(
        ledger.settle("line"), model_registry.version("line", "2"), kind="refusal", reason="not better"
    )
    assert main(HISTORY) == 0
    told = capsys.readouterr()
    assert "somebody else moved the champion" in told.out
    assert "verified" in told.out


def test_a_version_whose_pin_is_forged_is_not_promoted(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forced or not; and it is not what a challenger is judged against."""
    forge(store)
    words = ["promote", "--name", "line", "--force", "true", "--reason", "r", "--version"]
    assert main([*words, "1"]) == 2
    assert "the ledger of line does not vouch for version 1" in capsys.readouterr().err
    with pytest.raises(TagsDiffer):
        ledger.settle("line").check(model_registry.version("line", "1"))
    judged = ["promote", "--name", "line", "--version", "2", "--data", str(LINE)]
    assert main(judged) == 0
    assert (
        "cannot be compared with the champion: the ledger of line does not vouch" in capsys.readouterr().out
    )


def test_a_rollback_goes_by_the_ledger_and_mends_the_tags(store: Store) -> None:
    """The way back may not depend on tags that somebody else wrote."""
    second(store)
    pin, files = (
        model_registry.version("line", "1").tags[tag] for tag in (tag_names.PINNED, version_files.FILES_TAG)
    )
    store.tag("1", tag_names.PINNED, "0" * 64)
    store.tag("1", version_files.FILES_TAG, None)
    assert ledger.rollback("line").to_version == "1"
    tags = model_registry.version("line", "1").tags
    assert (tags[tag_names.PINNED], tags[version_files.FILES_TAG]) == (pin, files)
    second(store)
    forge(store)
    with pytest.raises(WrongFiles):
        ledger.rollback("line")


def test_a_rollback_passes_versions_that_were_deleted(store: Store) -> None:
    """7.8: the newest earlier champion that is still there, and the entry says which are gone."""
    second(store)
    third = store.client.create_model_version("line", store.client.get_model_version("line", "1").source)
    tags = model_registry.version("line", "1").tags
    for tag in (tag_names.DIGEST, version_files.FILES_TAG):
        store.client.set_model_version_tag("line", third.version, tag, tags[tag])
    newest = model_registry.version("line", str(third.version))
    ledger.record(ledger.settle("line"), newest, kind="promotion", reason="best")
    store.client.delete_model_version("line", "2")
    entry = ledger.rollback("line", reason="bias")
    assert (entry.to_version, entry.reason) == ("1", "bias (gone from the registry: 2)")
    ledger.record(ledger.settle("line"), newest, kind="forced", reason="again")
    store.client.delete_model_version("line", "1")
    with pytest.raises(NoEarlierChampion, match=r"all earlier champions of line \(1\) were deleted"):
        ledger.rollback("line")


def test_a_name_that_nobody_trained_is_one_line(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Not a verified chain of nothing."""
    assert main(["history", "--name", "nosuch"]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert f"there is no model 'nosuch' in the registry at {store.workspace.uri}" in told.err
    assert "verified" not in told.out


@pytest.mark.parametrize("command", ["history", "rollback", "promote", "reproduce", "recalibrate", "score"])
def test_an_empty_folder_stays_empty(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """A command that reads what others wrote was called in the wrong folder: it makes no database there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_tracking_uri(None)
    words = [command, "--name", "line"]
    words += ["--version", "1"] if command in ("promote", "reproduce") else []
    words += ["--data", str(LINE)] if command == "recalibrate" else []
    scored = [*words[1:], "--input", str(LINE), "--output", "out.csv"]
    code = batch.main(scored) if command == "score" else main(words)
    told = capsys.readouterr().err
    assert (code, told.count("\n")) == (2, 1)
    assert "there is no" in told
    assert str(tmp_path) in told
    assert not (tmp_path / "mlflow.db").exists()


def test_versions_are_read_to_the_last_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what the registry gives at once, a mark whose entry is gone would not be seen."""
    monkeypatch.setattr(model_registry, "PAGE", 1)
    assert [version.number for version in model_registry.versions("line")] == ["1", "2"]


def test_a_clock_that_was_wrong_once_is_told_and_passes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """7.9: 2099 in one entry; later ones say their own time, and `--at` finds the champions."""
    now = datetime.now(UTC)
    with monkeypatch.context() as wrong:
        wrong.setattr(ledger, "_now", lambda _: "2099-01-01T00:00:00.000+00:00")
        second(store)
    again = ledger.record(
        ledger.settle("line"), model_registry.version("line", "1"), kind="forced", reason="back"
    )
    assert datetime.fromisoformat(again.when) - now < timedelta(minutes=10)
    found = ledger.settle("line")
    assert len(history.notes(found)) == 1
    assert "entry 2 says 2099-01-01 00:00 UTC: the clock of" in history.notes(found)[0]
    assert history.findings(found) == []
    assert "version 1 was champion" in history.champion_at(found, datetime.now(UTC))
    assert "(entry 3: forced)" in history.champion_at(found, datetime.now(UTC))


def entry(sequence: int, when: str) -> Entry:
    """An entry with nothing but its time."""
    empty = dict.fromkeys(("user", "host", "commit", "evidence", "policy", "reason", "previous"), "")
    return Entry(
        "m",
        sequence,
        when,
        "promotion",
        from_version="",
        from_digest="",
        to_version="1",
        to_digest="",
        **empty,
    )


@pytest.mark.parametrize(
    ("years", "right"),
    [
        ([2020, 2021, 2022], {1, 2, 3}),
        ([2020, 2099, 2022], {1, 3}),
        ([2020, 1970, 2022, 2023], {1, 3, 4}),
        ([2099, 2099, 2020], {3}),
        ([2020, 2019, 2018, 2021], {1, 4}),
        ([], set()),
    ],
)
def test_which_clocks_were_right_is_told_by_the_others(years: list[int], right: set[int]) -> None:
    """The longest run of entries that never goes back, of those that are not yet to come."""
    entries = [entry(place, f"{year}-01-01T00:00:00.000+00:00") for place, year in enumerate(years, start=1)]
    found = history.right_clocks(entries)
    assert found == right or (years[0], len(found)) == (2020, len(right))
    assert history.true_times(entries) == sorted(history.true_times(entries))


def test_an_old_entry_keeps_its_text(store: Store) -> None:
    """The new key is written where it is known: chains of earlier releases stay whole."""
    old = entry(1, "2026-01-01")
    assert "to_files" not in old.text
    assert '"to_files":"' in ledger.settle("line").entries[-1].text


def score(*words: str) -> int:
    """Run `python -m serving.batch` in this process."""
    return batch.main(["--name", "line", "--input", str(LINE), "--output", "out.csv", *words])


@pytest.mark.parametrize("words", [(), ("--version", "1")])
@pytest.mark.parametrize("harm", [forge, pin_differs, pin_deleted])
def test_score_believes_no_pin_that_the_ledger_does_not_know(
    harm, words: tuple[str, ...], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """1.3 to 1.6: whoever writes tags and files would choose the numbers."""
    harm(store)
    assert score(*words) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "does not vouch for version 1" in told
    assert not Path("out.csv").exists()
    if harm is pin_deleted and not words:
        cells = ("files of the champion rewritten and its pin deleted; then `score`",)
        recorded("security", *cells, "exit 2: the ledger's entry has a pin, the version none", "no file")


def test_score_compares_a_version_that_was_never_promoted_too(
    store: Store, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """By the digest of its registration; and it says that no promotion vouches for it."""
    assert score("--version", "2") == 0
    assert "models:/line/2: no promotion vouches for it" in caplog.text
    document = store.artifacts("2") / "scorer" / "scorer.json"
    document.write_text(document.read_text().replace('"y"', '"z"'))
    assert score("--version", "2") == 2
    assert "the scorer's digest is" in capsys.readouterr().err


def test_score_replays_the_golden_rows(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A machine that computes the model differently writes no file."""
    from serving.scorer.scorer_files import digest_in

    document = store.artifacts("2") / "scorer" / "scorer.json"
    document.write_text(document.read_text().replace('"prediction": ', '"prediction": 1', 1))
    store.tag("2", tag_names.DIGEST, digest_in(document.parent))
    assert score("--version", "2") == 2
    assert "golden row 0" in capsys.readouterr().err


def test_an_unknown_name_says_which_registry_was_asked(
    tracking: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow's own sentence names none."""
    assert score() == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"(asked was {tracking.uri})" in told
