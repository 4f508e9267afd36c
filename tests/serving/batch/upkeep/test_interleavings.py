"""Scorings into one folder at once, in every order of their steps: the folder ends as one of them made it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pa_parquet
import pytest
from pyarrow import fs

from data.errors import OutOfReach
from data.sources import Part
from serving.batch import Options, Work, parted, score_parts
from serving.batch.outputs import bucket_folder, disk_folder
from serving.batch.outputs.bucket_folder import BucketFolder
from serving.batch.outputs.disk_folder import DiskFolder
from serving.batch.upkeep import MANIFEST, kept_folder
from serving.errors import BadOutput
from tests.serving.batch.upkeep.stepping import (
    ALL,
    Actor,
    Holding,
    Story,
    every_order,
    own_name,
    some_orders,
    step,
    tell,
)

HOLDING = Holding()


def rows_of(digest: str, identity: str) -> bytes:
    """A part's file."""
    file = io.BytesIO()
    note = json.dumps({"rows": 1, "unscored": 0, "unseen": {}, "names": ["prediction"]})
    table = pa.table({"prediction": [1.0], "by": [digest], "of": [identity]})
    pa_parquet.write_table(table.replace_schema_metadata({parted.NOTE: note}), file)
    return file.getvalue()


def in_turn() -> Any:
    """What stands for a pool of threads: all in the thread of who asks."""
    return nullcontext(SimpleNamespace(map=map))


class SteppedDisk(DiskFolder):
    """A folder on a disk, step by step."""

    def names(self) -> list[str]:
        step(reads=[ALL])
        found = sorted(super().names())
        tell(tuple(found))
        return found

    def size(self, name: str) -> int | None:
        step(reads=[name])
        found = super().size(name)
        tell(found)
        return found

    def opened(self, name: str) -> BinaryIO:
        step(reads=[name])
        try:
            content = (self.path / name).read_bytes()
        except FileNotFoundError:
            tell(None)
            raise
        tell(content)
        return io.BytesIO(content)

    @contextmanager
    def whole(self, name: str, allow: Callable[[], None] | None = None) -> Iterator[Path]:
        files = [name, f".{name}.1-{own_name()}{disk_folder.PARTIAL}"]

        def allowed() -> None:
            try:
                allow()  # type: ignore[misc]
            finally:
                step(writes=files)

        with super().whole(name, allowed if allow else None) as partial:
            step(writes=files[1:])
            yield partial
            step(writes=files[1:] if allow else files)
            tell(partial.exists())

    def rename(self, name: str, other: str) -> None:
        step(writes=[name, other])
        super().rename(name, other)

    def remove(self, name: str) -> None:
        step(writes=[name])
        super().remove(name)

    def held(self) -> Any:
        return HOLDING.held()

    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.path.iterdir()} if self.path.exists() else {}

    def put(self, contents: dict[str, bytes]) -> None:
        self.path.mkdir(exist_ok=True)
        for path in self.path.iterdir():
            path.unlink()
        for name, content in contents.items():
            (self.path / name).write_bytes(content)


OBJECTS: dict[str, bytes] = {}


class SteppedBucket(BucketFolder):
    """A folder in a bucket that is a dict, step by step."""

    def held(self) -> Any:
        return HOLDING.held()

    def contents(self) -> dict[str, bytes]:
        return dict(OBJECTS)

    def put(self, contents: dict[str, bytes]) -> None:
        OBJECTS.clear()
        OBJECTS.update(contents)


class Objects:
    """What pyarrow does with them."""

    def get_file_info(self, asked: Any) -> Any:
        if isinstance(asked, fs.FileSelector):
            step(reads=[ALL])
            found = sorted(OBJECTS)
            tell(tuple(found))
            return [SimpleNamespace(base_name=name) for name in found]
        step(reads=[asked])
        content = OBJECTS.get(asked)
        tell(content)
        return SimpleNamespace(is_file=content is not None, size=len(content or b""))

    def delete_file(self, name: str) -> None:
        step(writes=[name])
        OBJECTS.pop(name, None)

    def move(self, name: str, other: str) -> None:
        step(reads=[name], writes=[other])
        if name not in OBJECTS:
            raise FileNotFoundError(name)
        OBJECTS[other] = OBJECTS[name]
        self.delete_file(name)


def name_of(where: str) -> str:
    return where.rpartition("/")[2]


def opened_object(where: str) -> BinaryIO:
    name = name_of(where)
    step(reads=[name])
    tell(OBJECTS.get(name))
    if name not in OBJECTS:
        raise OutOfReach(where=where, reason="is not there", repair="look") from FileNotFoundError(where)
    return io.BytesIO(OBJECTS[name])


def sent(path: Path, where: str) -> None:
    step(writes=[name_of(where)])
    OBJECTS[name_of(where)] = path.read_bytes()


def written(
    _: Any, source: Any, output: Any, ending: str, options: Options, *, note: Any, report: Any
) -> None:
    """Stands for the scoring of a part: its bytes are known."""
    with output as partial:
        partial.write_bytes(source)
    report.rows += 1


def engine(work: Work, lacking: Sequence[int]) -> Iterator[tuple[int, parted.Done]]:
    return ((index, work.score(index, None)) for index in lacking)  # type: ignore[arg-type]


@pytest.fixture(params=["disk", "bucket"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder whose steps are told apart, and which forgets nothing."""
    for module in (parted, kept_folder):
        monkeypatch.setattr(module, "ThreadPoolExecutor", lambda _: in_turn())
    monkeypatch.setattr(parted, "score_source", written)
    monkeypatch.setattr(disk_folder, "sync_folder", lambda _: None)
    monkeypatch.setattr(disk_folder, "os", SimpleNamespace(fsync=lambda _: None, getpid=lambda: 1))
    monkeypatch.setattr(disk_folder, "secrets", SimpleNamespace(token_hex=own_name))
    store = SimpleNamespace(files=Objects(), path=name_of)
    monkeypatch.setattr(bucket_folder, "asked_of", lambda _, question: question(store))
    monkeypatch.setattr(bucket_folder, "opened", opened_object)
    monkeypatch.setattr(bucket_folder, "_send", sent)
    return SteppedDisk(tmp_path / "out") if request.param == "disk" else SteppedBucket("s3://b/out")


def work(folder: Any, model: str, identities: str) -> Work:
    """What a model is to score: a part for each letter."""
    parts = tuple(Part(rows_of(model, each), each, each) for each in identities)  # type: ignore[arg-type]
    return Work(folder, parts, Options(), model, {"model": model})


def named_in(contents: dict[str, bytes]) -> set[str]:
    return {part["file"] for part in json.loads(contents[MANIFEST])["parts"]}


def refuse_half(folder: Any) -> None:
    """Raise where a manifest is there that says something else than the folder."""
    contents = folder.contents()
    if MANIFEST not in contents:
        return
    shown = {name for name in contents if not name.startswith((".", "_"))}
    lost, more = named_in(contents) - shown, shown - named_in(contents)
    assert not lost, f"the manifest names {lost}, which are gone"
    assert not more or isinstance(folder, BucketFolder), f"beside the manifest are {more}"


def settled(folder: Any, actors: Sequence[Actor], works: Sequence[Work]) -> None:
    """Raise where the folder is not what one of those made who said that all went well."""
    for actor in actors:
        assert actor.error is None or isinstance(actor.error, BadOutput), repr(actor.error)
    contents = folder.contents()
    if MANIFEST not in contents:
        said = [actor for actor in actors if actor.result is None and not actor.error]
        assert said, "no manifest"  # nor did who shares say that others have not written theirs yet
        return
    assert contents.keys() == named_in(contents) | {MANIFEST}, contents.keys()
    assert any(
        actor.error is None
        for actor, each in zip(actors, works, strict=True)
        if set(each.names) == named_in(contents)
    ), "who has the folder did not end well"
    for part in json.loads(contents[MANIFEST])["parts"]:
        assert hashlib.sha256(contents[part["file"]]).hexdigest() == part["sha256"]


CASES = {
    "two models": (["a:xy", "b:x"], ""),
    "two models over one of them": (["a:x", "b:x"], "a:x"),
    "the same twice over another": (["a:x", "a:x"], "b:x"),
    "a file more": (["a:x", "a:xy"], ""),
    "a file more over the first": (["a:x", "a:xy"], "a:x"),
    "a file before the others": (["a:x", "a:wx"], ""),
}
"""Who scores which parts at once, and what is there before."""

OF_THREE = {
    "three models": (["a:xy", "b:x", "c:x"], "b:x"),
    "two of three the same": (["a:x", "b:xy", "a:x"], ""),
    "two shares and another": (["a:xy:0", "a:xy:1", "b:x"], "b:x"),
}


def story_of(folder: Any, asked: Sequence[str], before: str) -> Story:
    """Return what happens in a folder; what was there before is there again at each begin."""
    runs = [run_of(folder, words) for words in asked]
    folder.put({})
    if before:
        run_of(folder, before)[1]()
    there = folder.contents()

    def begin() -> tuple[list[Actor], Holding]:
        folder.put(there)
        HOLDING.by = ""
        return [Actor("ABC"[place], run) for place, (_, run) in enumerate(runs)], HOLDING

    return Story(
        begin,
        lambda: tuple(sorted(folder.contents().items())),
        lambda: refuse_half(folder),
        lambda actors: settled(folder, actors, [work for work, _ in runs]),
    )


@pytest.mark.parametrize("case", CASES)
def test_in_any_order_of_steps_the_folder_ends_as_one_of_them_made_it(case: str, folder: Any) -> None:
    """And the other one, if it was not done before, says so: about two thousand states each."""
    assert every_order(story_of(folder, *CASES[case])) > 1_000


@pytest.mark.soak
@pytest.mark.parametrize("case", OF_THREE)
def test_of_three_the_folder_ends_as_one_made_it(case: str, folder: Any) -> None:
    """All their orders are too many: the same hundred each time."""
    some_orders(story_of(folder, *OF_THREE[case]), 100)


def run_of(folder: Any, words: str) -> tuple[Work, Callable[[], Any]]:
    """Return the work and what does it, by `model:parts`, or `model:parts:share` for one of two shares."""
    model, parts, *share = words.split(":")
    asked = work(folder, model, parts)
    which = (int(share[0]), 2) if share else (0, 1)
    return asked, lambda: score_parts(asked, engine, share=which)
