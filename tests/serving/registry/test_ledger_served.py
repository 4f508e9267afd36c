"""The server believes no tag that the ledger of promotions does not know, and no file that is not the promoted one."""

from __future__ import annotations

import shutil

import pytest

from serving.scorer.scorer_files import digest_in
from serving.scorer.version_files import DIGEST_TAG, FILES_TAG, PINNED_TAG, files_digest
from tests.recorded import recorded
from tests.serving.fleet.followed import status, until
from tests.serving.registry.attacked import answer, made, options, refused
from training.records import ledger, model_registry


def shifted(store, version):
    """Add 1,000 to what a version predicts, golden rows and all; return the digest of its scorer."""
    scorer = store.artifacts(version) / "scorer"
    shutil.rmtree(scorer)
    shutil.copytree(made(store), scorer)
    return digest_in(scorer)


def test_a_champion_whose_pin_is_not_the_ledgers_is_refused(start, store):
    """1.4, 1.5: files and tags rewritten; a running server keeps what it has, a new one does not start."""
    with start(*options(store)) as served:
        assert answer(served) == (11, "1")
        store.tag("1", PINNED_TAG, shifted(store, "1"))
        until(lambda: status(served)["state"] == "REFUSED")
        assert "does not vouch for version 1" in status(served)["reason"]
        assert answer(served) == (11, "1")
        assert refused(*options(store)) == (3, [f"error: {status(served)['reason']}"])
        store.tag("1", PINNED_TAG, model_registry.version("line", "1").tags[DIGEST_TAG])
        until(lambda: status(served)["state"] == "READY")
        assert answer(served) == (11, "1")
    recorded(
        "security",
        "files of the champion and its pin rewritten, a server running and one started",
        "REFUSED in /status, the version in service stays; the start ends with exit code 3",
        "no answer of the attacker's",
    )


def test_a_version_that_only_tags_promote_is_refused(start, store):
    """1.6: a version of the attacker's, pinned by himself, and the alias moved to it."""
    with start(*options(store)) as served:
        tags = {PINNED_TAG: digest_in(made(store))}
        version = store.client.create_model_version("line", str(made(store).parent), tags=tags).version
        store.client.set_registered_model_alias("line", "champion", str(version))
        until(lambda: status(served)["state"] == "REFUSED")
        assert "it is pinned, and no entry promotes it" in status(served)["reason"]
        assert answer(served) == (11, "1")
        ledger.record(
            ledger.settle("line"), model_registry.version("line", "2"), kind="forced", reason="the way out"
        )
        until(lambda: answer(served) == (11, "2"))
    recorded(
        "security",
        "the attacker's own version registered and pinned, the alias moved to it",
        "refused: no entry of the ledger promotes it; `history` ends with 3",
        "no answer of the attacker's",
    )


def test_an_alias_moved_by_hand_to_an_earlier_champion_is_served_and_told(start, store):
    """1.8: a person may have had a reason; status and metric say it until the ledger knows."""
    ledger.record(
        ledger.settle("line"), model_registry.version("line", "2"), kind="promotion", reason="better"
    )
    with start(*options(store)) as served:
        assert answer(served) == (11, "2")
        assert not status(served)["ledger"]
        store.client.set_registered_model_alias("line", "champion", "1")
        until(lambda: answer(served) == (11, "1"))
        until(lambda: "its alias was moved to version 1 by somebody else" in status(served)["ledger"])
        assert 'slipway_ledger_agrees{model="line"} 0.0' in served.call("/metrics")[1]
        ledger.record(
            ledger.settle("line"), model_registry.version("line", "1"), kind="forced", reason="it is so"
        )
        until(lambda: not status(served)["ledger"])
        assert 'slipway_ledger_agrees{model="line"} 1.0' in served.call("/metrics")[1]


def test_an_unchanged_poll_asks_the_registry_once(store, monkeypatch):
    """The ledger is asked where a version or its tags change, not at each look."""
    from serving.fleet import Followed, Rules
    from serving.registry import Cache, answers

    asked = []
    ask = answers._ledger_of
    monkeypatch.setattr(answers, "_ledger_of", lambda name: asked.append(name) or ask(name))
    cache = Cache(store.workspace.folder / "cache")
    followed = Followed("", "models:/line@champion", Rules(cache))
    for _ in range(3):
        followed.follow(Nobody(), lambda: None)
    assert (followed.status.state, asked) == ("READY", ["line"])


class Nobody:
    """A crew without workers."""

    def prepare(self, _model):
        """Nobody refuses."""

    def swap(self, _model):
        """Nobody serves."""


@pytest.mark.parametrize("model", ["models:/line/2", "models:/line/1"])
def test_unpromoted_or_unpinned_files_are_compared_all_the_same(store, model):
    """1.3: without a pin there is still what the registration and the ledger say."""
    shifted(store, model[-1])
    store.tag("1", PINNED_TAG, None)
    code, lines = refused(*options(store, "--allow-unpromoted", model=model))
    assert (code, len(lines)) == (3, 1)
    says = "the scorer's digest is" if model[-1] == "2" else "its pinned digest is gone"
    assert says in lines[0]
    if model[-1] == "2":
        recorded(
            "security",
            "files of a version without a pin rewritten; then `--allow-unpromoted`",
            "exit code 3: not the digest of its registration",
            "no answer of the attacker's",
        )


def test_a_version_that_mlflow_runs_is_compared_with_its_digest(store):
    """1.14: who writes the artifact store alone runs no code in a server with --runtime pyfunc."""
    ran = store.workspace.folder / "ran"
    path = store.artifacts("1") / "code" / "training" / "transformers.py"
    path.write_text(f"open({str(ran)!r}, 'w')\n{path.read_text()}")
    code, lines = refused(*options(store, "--runtime", "pyfunc"))
    assert (code, len(lines)) == (3, 1)
    assert "the digest of all files is" in lines[0]
    assert not ran.exists()
    recorded(
        "security",
        "`code/` of the champion rewritten in the artifact store; then `--runtime pyfunc`",
        "exit code 3: the digest of all files is another (models that Slipway did not register have none)",
        "no code was run",
    )


def test_a_cached_folder_for_mlflow_is_fetched_again_where_it_was_changed(store):
    """Bytecode that a process left there is no change."""
    from serving.registry import Cache, resolve

    cache, found = Cache(store.workspace.folder / "cache"), resolve("models:/line@champion")
    folder = store.workspace.folder / "cache" / cache.fetch_whole(found).folder.rsplit("/", 1)[-1]
    bytecode = folder / "code" / "training" / "__pycache__"
    bytecode.mkdir()
    (bytecode / "transformers.cpython-311.pyc").write_bytes(b"planted")
    (folder / "MLmodel").write_text("{}")
    assert cache.fetch_whole(found).folder == str(folder)
    assert files_digest(folder) == found.files == model_registry.version("line", "1").tags[FILES_TAG]
    assert not bytecode.exists()


def test_files_that_are_gone_are_not_called_somebody_elses(store):
    """7.7: `mlflow gc` of the champion's logged model."""
    shutil.rmtree(store.artifacts("1"))
    code, lines = refused(*options(store))
    assert code == 2
    assert "its files are gone from the artifact store" in lines[0]
