"""A worker keeps rows: which, in what form, within which memory, and what it does where the disk refuses."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import functools
import math
import os
import random
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest

from data.captures import Frame, FrameLayout, Places, PredictionId, RecordFile, record
from data.own_files import own_file
from data.schema import Column
from serving.front import Backend
from serving.front.capture import frame_writer, kept_requests
from serving.front.capture.caller_words import Words, caller_of, words_of
from serving.front.capture.capture_figures import CaptureFigures
from serving.front.capture.drawing import NOT_DRAWN, Draw
from serving.front.capture.frame_writer import Writer
from serving.front.capture.kept_columns import KeptColumns, hash_of
from serving.front.capture.kept_requests import Capture
from serving.front.capture.pending import Begin, Pending
from serving.rows import coercion
from serving.rows.cells.coercion import UnseenText
from serving.runtimes import Description, Predicted, load
from serving.settings import CaptureRules, Model, Settings
from serving.worker import draining_server as worker
from tests.serving.front.capture.captures import after, frame_of, kept_in, rows_of
from tests.serving.processes import until
from training.archive import compact

COLUMNS = (
    Column("x", "number"),
    Column("city", "category", categories=("Berlin", "Lima", "Oslo")),
    Column("b", "number"),
)
SECRET = b"0123456789abcdef"
NOTHING_SAID = {}
ROOM = kept_requests.ROOM_BYTES


@pytest.fixture(autouse=True)
def _texts_are_not_kept_elsewhere(monkeypatch):
    """Whether texts are kept is told to a whole process."""
    monkeypatch.setattr(coercion, "_most_texts", 0)


@functools.cache
def version(columns=COLUMNS, *, digest="ab" * 32, label="3"):
    """Return a loaded version, as far as captures look at one."""
    described = Description("m", label, digest, "", {}, b"", columns)
    return SimpleNamespace(model=SimpleNamespace(name="m", runtime="scorer"), description=described)


def predicted(rows=1, *, city=0.0, texts=(), columns=3, scale=None):
    """Return rows that were scored: the prediction is ten times x."""
    x = np.arange(rows, dtype=np.float64)
    matrix = np.column_stack([x, np.full(rows, city), *[np.zeros(rows)] * (columns - 2)])
    return Predicted(matrix, 10 * x, scale, texts, "")


class Held:
    """A writer that holds what it is given, and counts."""

    def __init__(self):
        self.stopped, self.released, self.pending, self.counts = "", 0, [], {}

    def put(self, pending):
        """Take a frame."""
        self.pending.append(pending)

    def let_go(self):
        """Write what is held."""
        self.released += sum(each.size for each in self.pending)
        self.pending = []

    def dropped(self, reason, rows):
        """Count."""
        self.counts[reason] = self.counts.get(reason, 0) + rows

    def close(self):
        """End."""


def capture_in(held, *, workers=1, **rules):
    """Return what keeps rows, and a list of what is due."""
    due = []
    rules = CaptureRules(folder="unused", **rules)
    return Capture(rules, held, held, workers=workers, later=lambda _, work: due.append(work)), due


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_drawn_uniformly(share):
    """Within five standard deviations of a binomial, in each half of the stream: not each tenth, not the first ones."""
    held = Held()
    capture, due = capture_in(held, share=share)
    kept = []
    for turn in range(20_000):
        kept.append(bool(capture.keep(version(), predicted(), NOTHING_SAID, float(turn))))
        if turn % 100 == 0:
            due.pop()()
            held.let_go()
    for half in (kept[:10_000], kept[10_000:]):
        assert abs(sum(half) - 10_000 * share) < 5 * math.sqrt(10_000 * share * (1 - share))
    gaps = np.diff(np.flatnonzero(kept))
    assert len(set(gaps.tolist())) > 5, "not each tenth"
    assert held.counts == {}, "what was not drawn was not dropped"


def test_the_share_stands_in_the_frame():
    """Without it every later mean is one of the wrong rows."""
    held = Held()
    capture, due = capture_in(held, share=0.9)
    while not capture.keep(version(), predicted(), NOTHING_SAID, 0.0):
        pass
    due[0]()
    assert frame_of(held.pending[0]).share == 0.9


@pytest.mark.parametrize("a_second", [20, 1_000, 5_000])
def test_more_rows_than_are_wanted_are_thinned_without_bias(a_second):
    """About as many are kept as were asked for; weighted with 1/share they stand for all."""
    draw, kept, weight = Draw(1.0, 100.0), 0, 0.0
    draw._random = random.Random(1)
    for moment in range(400):
        draw.begin(moment * 0.2)
        for _ in range(a_second // 5):
            if not draw.refusal(1):
                kept += 1
                weight += 1 / draw.share
    offered = a_second // 5 * 400
    wanted = min(offered, 100 * 80)
    assert wanted * 0.9 < kept < wanted * 1.1 + a_second / 5
    assert abs(weight / offered - 1) < 0.05


def test_a_request_now_and_then_is_kept_whatever_the_rate():
    """One a second is not too many where two are wanted, however short the moment is that it came in."""
    draw = Draw(1.0, 2.0)
    for second in range(50):
        draw.begin(float(second))
        assert draw.refusal(1) == ""


def test_rows_that_are_too_many_are_counted():
    """As `rate`, where those that a share leaves out are not."""
    held = Held()
    capture, due = capture_in(held, rows=5, workers=5)
    for moment in range(10):
        for _ in range(100):
            capture.keep(version(), predicted(), NOTHING_SAID, moment * 0.2)
        due.pop()()
    assert set(held.counts) == {"rate"}
    assert 700 < held.counts["rate"] < 901
    draw = Draw(0.5, 0.0)
    assert {draw.refusal(1) for _ in range(100)} == {"", NOT_DRAWN}


def test_memory_is_bounded_and_the_newest_is_dropped():
    """A disk that hangs costs rows, not the worker; once it answers, rows are kept again."""
    held = Held()
    capture, due = capture_in(held)
    first = []
    while capture.keep(version(), predicted(1_000), NOTHING_SAID, 0.0):
        first.append(len(first))
    assert sum(pending.size for pending in held.pending) <= ROOM
    assert 100 < len(first) <= ROOM // (1_000 * 8 * 5)
    due[0]()
    assert held.counts == {"full": 1_000}
    held.let_go()
    assert capture.keep(version(), predicted(1_000), NOTHING_SAID, 1.0)


def test_texts_count_as_memory_too():
    """A request of unseen categories is mostly text."""
    held = Held()
    capture, due = capture_in(held)
    long = [UnseenText(0, "city", "x" * (ROOM // 4))]
    assert capture.keep(version(), predicted(texts=long), NOTHING_SAID, 0.0) == b""
    many = [UnseenText(0, "city", "")] * (kept_requests.MOST_TEXTS + 1)
    assert capture.keep(version(), predicted(texts=many), NOTHING_SAID, 0.0) == b"", (
        "more texts than are collected"
    )
    due[0]()
    assert held.counts == {"full": 2}


def test_a_frame_has_no_more_rows_than_its_ids():
    """Room ends before the 24 bits do, with the smallest rows that there can be: an id is never another row's."""
    held = Held()
    capture, _ = capture_in(held)
    bare = version(())
    most = (ROOM - kept_requests.REQUEST_BYTES) // Pending(
        bare, columns_of(bare), Begin(0, 0.0, 0, 1.0)
    ).row_bytes
    nothing = Predicted(np.zeros((most, 0)), np.zeros(most), None, (), "")
    assert capture.keep(bare, nothing, NOTHING_SAID, 0.0)
    assert most + kept_requests.FRAME_BYTES < Frame.MOST_ROWS, "and as many again as could be there before"


def test_a_frame_that_is_full_is_followed_by_another():
    """Of the same moment and version, with an id of its own, and nobody waits for the moment's end."""
    held = Held()
    capture, due = capture_in(held)
    ids = [
        PredictionId.parse(capture.keep(version(), predicted(3_000), NOTHING_SAID, 0.0).decode())
        for _ in range(4)
    ]
    assert [each.row for each in ids] == [0, 3_000, 0, 3_000]
    assert ids[0].frame == ids[1].frame != ids[2].frame
    assert [pending.rows for pending in held.pending] == [6_000]
    due[0]()
    assert [frame_of(pending).predictions.size for pending in held.pending] == [6_000, 6_000]


def test_many_versions_share_the_room():
    """A server of a hundred models has as many frames at once, each with a row or two."""
    held = Held()
    capture, due = capture_in(held)
    assert all(capture.keep(version(label=str(each)), predicted(), NOTHING_SAID, 0.0) for each in range(200))
    due[0]()
    assert held.counts == {}
    assert capture._taken == sum(pending.size for pending in held.pending) < 200 * 100


def test_rows_are_read_back_as_they_were_whatever_came_beside_them():
    """One row, a few, many, with and without intervals, in Fortran's order: each under its own id."""
    held, random, expected = Held(), np.random.default_rng(1), {}
    capture, due = capture_in(held)
    for turn in range(300):
        rows = int(random.choice([1, 1, 1, 2, 32, 33, 70]))
        matrix = np.asarray(random.normal(size=(rows, 3)), order=random.choice(["C", "F"]))
        matrix[:, 1] = random.integers(0, 3, rows)
        scored = random.normal(size=(rows, 2))
        scale = scored[:, 1] if turn % 3 else None
        headers = {b"x-request-id": str(turn).encode()} if turn % 2 else {}
        shown = Predicted(matrix.copy(order="K"), scored[:, 0], scale, (), "")
        first = capture.keep(version(), shown, headers, turn / 1000).decode()
        for row in range(rows):
            interval = np.nan if scale is None else scale[row]
            expected[after(first, row)] = (
                *matrix[row],
                scored[row, 0],
                interval,
                row,
                str(turn) if turn % 2 else "",
            )
    due[0]()
    found = {}
    for pending in held.pending:
        found |= rows_of(frame_of(pending), pending.columns.layout)
    assert found.keys() == expected.keys()
    for each, row in found.items():
        np.testing.assert_equal((*row.cells, row.prediction, row.scale, row.row, row.caller), expected[each])


def test_versions_have_frames_of_their_own():
    """A version that is swapped in between has other columns."""
    held = Held()
    capture, due = capture_in(held)
    other = version(COLUMNS[:2], digest="cd" * 32, label="4")
    for each, columns in ((version(), 3), (other, 2), (version(), 3)):
        capture.keep(each, predicted(2, columns=columns), NOTHING_SAID, 0.0)
    due[0]()
    assert {frame.digest: frame.matrix.shape for frame in map(frame_of, held.pending)} == {
        "ab" * 32: (4, 3),
        "cd" * 32: (2, 2),
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"mine", "mine"),
        ("\u00e9".encode() * 64, "\u00e9" * 64),
        ("\u00e9".encode() * 64 + b"x", ""),
        (b"\xff\xfe", ""),
        (b"\x00\"'\n<script>", "\x00\"'\n<script>"),
    ],
)
def test_an_id_of_the_callers_is_kept_as_it_is_or_not_at_all(given, expected):
    """Cut short, or with letters replaced, it would be another request's."""
    assert caller_of(words_of({b"x-request-id": given}, "")).id == expected


def test_an_id_that_is_no_unicode_is_not_kept():
    """JSON can write half a letter, and no file could hold it."""
    assert caller_of(words_of({}, "\ud800")).id == ""


@pytest.mark.parametrize(
    ("said", "at"),
    [
        (b"2013-07-01T12:00:00Z", 1_372_680_000.0),
        (b"2013-07-01T14:00:00.5+02:00", 1_372_680_000.5),
        (b"yesterday", None),
        (b"1969-12-31T23:59:59Z", None),
        (b"9999-01-01T00:00:00Z", None),
        (b"1372680000", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_an_event_is_of_the_time_that_it_names(said, at):
    """A queue that is late, or a replay, must not make yesterday's rows today's; what is no time says nothing."""
    assert caller_of(Words(b"", said)).at == at


def test_a_row_is_dated_by_its_event():
    """To the millisecond, whenever the frame was begun; its neighbours keep their own time."""
    begin = Begin(milliseconds=1_764_288_000_000, now=50.0, random=0, share=1.0)
    pending = Pending(version(), columns_of(), begin)
    for words, now in (
        (None, 50.1),
        (Words(b"a", b"2013-07-01T12:00:00.25Z"), 50.1),
        (Words("b", b""), 50.2),
    ):
        pending.add(predicted(2), words, now, 0)
    moments = [begin.milliseconds / 1000 + each.offset for each in frame_of(pending).requests]
    assert moments == pytest.approx([1_764_288_000.1, 1_372_680_000.25, 1_764_288_000.2], abs=1e-4)


def columns_of(runtime=None, **rules):
    """Return what is kept of a version's columns."""
    return KeptColumns.of(runtime or version(), CaptureRules(folder="unused", **rules), SECRET)


def test_a_column_that_is_excluded_is_not_written():
    """Neither its cells, nor its unseen texts, nor its name."""
    kept = columns_of(exclude=("city",))
    assert [column.name for column in kept.layout.columns] == ["x", "b"]
    np.testing.assert_array_equal(kept.matrix(predicted(3).matrix), predicted(3).matrix[:, [0, 2]])
    assert kept.unseen([(0, [UnseenText(0, "city", "Quito")])]) == ()


def test_a_hashed_category_says_nothing_of_itself():
    """Its code is its hash's place, which nobody can know without the key; an unseen text is hashed whole."""
    kept = columns_of(hashed=("city",))
    (column,) = (each for each in kept.layout.columns if each.name == "city")
    assert kept.layout.hashed == ("city",)
    codes = kept.matrix(np.array([[1.0, code, 2.0] for code in (0.0, 1.0, 2.0, -1.0, np.nan)]))[:, 1]
    assert codes[3] == -1.0
    assert np.isnan(codes[4])
    cities = [column.categories[int(code)] for code in codes[:3]]
    assert cities == [hash_of(city, SECRET) for city in ("Berlin", "Lima", "Oslo")]
    assert list(column.categories) == sorted(column.categories)
    long = "Q" * 100
    assert kept.unseen([(5, [UnseenText(1, "city", long)])]) == ((6, "city", hash_of(long, SECRET)),)
    assert "Berlin" not in str(kept.layout.head())


def test_hashes_differ_by_key():
    """A plain hash of a hundred airports is undone by hashing a hundred airports."""
    assert hash_of("Oslo", SECRET) != hash_of("Oslo", SECRET[::-1])


def test_a_column_that_becomes_a_number_is_left_out_where_it_was_to_be_hashed(caplog):
    """A later version may have it so: it is never written as it is."""
    later = version((Column("city", "number"), Column("x", "number")))
    assert [column.name for column in columns_of(later, hashed=("city",)).layout.columns] == ["x"]
    assert "city is no category now" in caplog.text


@pytest.fixture()
def room(tmp_path, monkeypatch):
    """A folder, and how much of its disk is free."""
    free = SimpleNamespace(folder=tmp_path / "captures", share=0.5)
    monkeypatch.setattr(frame_writer, "free_share", lambda _: free.share)
    monkeypatch.setattr(frame_writer, "LOOK_SECONDS", 0.02)
    (free.folder / "frames").mkdir(parents=True)
    return free


class Counted(CaptureFigures):
    """Figures that can be asked."""

    def __init__(self):
        super().__init__()
        self.reasons = {}

    def dropped(self, reason, rows):
        """Count, here too."""
        super().dropped(reason, rows)
        self.reasons[reason] = self.reasons.get(reason, 0) + rows


def writing_in(room, **rules):
    """Return a capture that writes, its figures, its writer, and what is due."""
    due, figures = [], Counted()
    rules = CaptureRules(folder=str(room.folder), **rules)
    writer = Writer(rules, figures)
    capture = Capture(rules, writer, figures, later=lambda _, work: due.append(work))
    return SimpleNamespace(capture=capture, figures=figures, writer=writer, due=due)


def keep(made, *, caller=""):
    """Keep a row and close its frame; return its id, once it is written or given up."""
    said = {b"x-request-id": caller.encode()}
    first = made.capture.keep(version(), predicted(2), said, time.perf_counter()).decode()
    if made.due:
        made.due.pop()()
    until(lambda: made.writer.released == made.capture._taken, seconds=10)
    return first


def test_below_a_tenth_of_the_disk_nothing_is_kept_until_there_is_room(room):
    """Serving goes on; what was promised before is written."""
    made = writing_in(room)
    before = keep(made)
    room.share = 0.09
    until(lambda: made.writer.stopped == "disk", seconds=10)
    assert keep(made) == ""
    assert made.capture.status() == {"on": False, "reason": "the disk has too little room left"}
    room.share = 0.11
    until(lambda: not made.writer.stopped, seconds=10)
    after_it = keep(made)
    assert made.capture.status()["on"]
    made.capture.close()
    assert {before, after_it} <= kept_in(room.folder).keys()
    assert made.figures.reasons == {"disk": 2}


@pytest.mark.parametrize("how", ["short", "no room", "broken", "not cut"])
def test_a_write_that_fails_leaves_whole_records(room, monkeypatch, how):
    """What is half written would hide all behind it; the rows are counted, and the next are kept."""
    made = writing_in(room)
    before, real, failing = keep(made), os.write, [True]

    def write(handle, content):
        if not failing:
            return real(handle, content)
        if how == "short":
            return real(handle, content[: len(content) // 2])
        real(handle, content[:7])
        raise OSError(errno.ENOSPC if how == "no room" else errno.EIO, "refused")

    def probe(file):
        if failing:
            raise OSError(errno.EIO, "refused")

    def cut(handle, size):
        if failing:
            raise OSError(errno.EIO, "refused")

    monkeypatch.setattr(own_file.os, "write", write)
    monkeypatch.setattr(own_file.OwnFile, "probe", probe)
    if how == "not cut":
        monkeypatch.setattr(own_file.os, "ftruncate", cut)
    lost = keep(made)
    assert lost
    reason = "error" if how in ("broken", "not cut") else "disk"
    assert made.writer.stopped
    assert keep(made) == "", "no id where it is known that nothing can be written"
    failing.clear()
    until(lambda: not made.writer.stopped, seconds=10)
    behind = keep(made)
    made.capture.close()
    found = kept_in(room.folder)
    assert {before, behind} <= found.keys()
    assert lost not in found
    assert made.figures.reasons[reason] >= 2
    assert sum(made.figures.reasons.values()) == 4
    files = [RecordFile(path) for path in sorted((room.folder / "frames").iterdir())]
    assert [len(list(file)) for file in files] == [2, 2], (
        "each has its layout, and nothing follows what failed"
    )
    assert [file.torn for file in files] == [7 if how == "not cut" else 0, 0]


def test_a_file_that_was_deleted_is_followed_by_another(room):
    """Who cleans up with rm while the server runs would lose all that comes, without a word."""
    made = writing_in(room)
    keep(made)
    for path in (room.folder / "frames").iterdir():
        path.unlink()
    (room.folder / "frames").rmdir()
    later = keep(made)
    made.capture.close()
    assert next(iter(kept_in(room.folder))) == later


def test_a_folder_that_is_deleted_while_nothing_comes_is_made_again(room, monkeypatch):
    """The disk is looked at each second: what is not there cannot be, and must not end captures for good."""
    monkeypatch.setattr(frame_writer, "free_share", own_file.free_share)
    monkeypatch.setattr(frame_writer, "LEAST_FREE", 0.0)
    made = writing_in(room)
    keep(made)
    shutil.rmtree(room.folder)
    time.sleep(0.2)  # ten looks at nothing
    until(lambda: not made.writer.stopped, seconds=2)
    later = keep(made)
    made.capture.close()
    assert later in kept_in(room.folder)


def test_a_disk_that_loses_what_was_written_stops_captures_until_another_file_can_be_begun(room, monkeypatch):
    """A failed fdatasync is said once by the kernel, and its pages are gone: what may be lost is counted."""
    real, failing = os.fdatasync, [True]

    def sync(handle):
        if failing:
            failing.clear()
            raise OSError(errno.EIO, "lost")
        real(handle)

    monkeypatch.setattr(own_file.os, "fdatasync", sync)
    monkeypatch.setattr(frame_writer, "LOOK_SECONDS", 0.5)
    made = writing_in(room, sync=0.05)
    keep(made)
    until(lambda: made.writer.stopped == "error", seconds=10)
    assert made.figures.reasons == {"error": 2}
    until(lambda: not made.writer.stopped, seconds=10)
    behind = keep(made)
    made.capture.close()
    assert behind in kept_in(room.folder)
    assert len(list((room.folder / "frames").iterdir())) == 2
    assert made.figures.reasons == {"error": 2}, "counted once"


def test_files_that_end_in_between_do_not_put_off_the_disk(room, monkeypatch):
    """What was written stands on the disk after the seconds that were asked for, however often a file is full."""
    disk, synced = frame_writer.Disk(0.3, lambda *_: None), []
    disk.file = frame_writer.FileOfFrames(SimpleNamespace(sync=lambda: synced.append(1), path=""))
    monkeypatch.setattr(own_file.OwnFile, "sync", lambda own: own.sync())
    monkeypatch.setattr(own_file.OwnFile, "finish", lambda _: None)
    ended = frame_writer.FileOfFrames(SimpleNamespace(path=""))
    for _ in range(20):
        disk._ended.put(ended)
        time.sleep(0.05)
    assert synced
    disk.close()


def test_a_version_that_is_registered_again_has_rows_of_its_own(room):
    """The same files under another number: its rows would be compacted as those of the number before."""
    made = writing_in(room)
    for label in ("3", "4"):
        made.capture.keep(version(label=label), predicted(2), NOTHING_SAID, time.perf_counter())
        made.due.pop()()
    made.capture.close()
    assert sorted(row.layout.version for row in kept_in(room.folder).values()) == ["3", "3", "4", "4"]
    compact(Places(room.folder), lambda *_: None)
    (number,) = {path.name for path in (room.folder / "predictions" / "slipway_model=m").glob("*=4")}
    assert number == "slipway_version=4"


def test_what_fails_in_a_capture_never_fails_an_answer(caplog):
    """It was scored: the client gets it, the rows are counted, and no room is lost for good."""
    held = Held()
    capture, due = capture_in(held)
    assert capture.keep(version(), predicted(2), NOTHING_SAID, 0.0)
    broken = predicted(3)._replace(predictions=[0.0] * 3)
    assert capture.keep(version(), broken, NOTHING_SAID, 0.0) == b""
    assert "a prediction is not kept" in caplog.text
    due.pop()()
    assert held.counts == {"error": 5}, "those of the frame that it may have spoilt, too"
    assert capture._taken == held.released == 0
    assert capture.keep(version(), predicted(2), NOTHING_SAID, 1.0)


def test_what_is_not_drawn_is_not_looked_at():
    """A request of many unseen categories would be walked through for nothing."""
    held = Held()
    capture, due = capture_in(held, share=1e-12)
    assert capture.keep(version(), predicted(texts=["no text"]), NOTHING_SAID, 0.0) == b""
    due[0]()
    assert held.counts == {}


def test_columns_are_ready_before_a_version_serves(line, monkeypatch, tmp_path):
    """Hashing 50,000 categories takes 0.14 s, in which the event loop would answer nobody."""
    settings = Settings(models=(Model(str(line / "scorer")),), capture=CaptureRules(folder=str(tmp_path)))
    runtime = load(settings.models[0], settings)
    backend = Backend([], settings)
    worker._load_again(settings.models[0], backend)
    monkeypatch.setattr(KeptColumns, "of", None)

    async def keep_one():
        return backend.capture.keep(runtime, predicted(), NOTHING_SAID, 0.0)

    assert asyncio.run(keep_one())
    backend.close()


def test_a_file_is_closed_by_its_size_and_each_has_its_layout(room, monkeypatch):
    """Each file can be read, moved or deleted by itself."""
    monkeypatch.setattr(own_file, "FILE_BYTES", 1)
    made = writing_in(room, sync=0.01)
    ids = [keep(made) for _ in range(4)]
    made.capture.close()
    assert len(list((room.folder / "frames").glob("*.frames"))) == 4
    assert set(ids) <= kept_in(room.folder, endings=(".frames",)).keys()


def test_an_old_file_is_closed_without_another_row(room):
    """The last rows of an evening are not kept back until the morning."""
    made = writing_in(room, rotate=0.1)
    keep(made)
    until(lambda: list((room.folder / "frames").glob("*.frames")), seconds=10)
    made.capture.close()


def test_files_that_are_too_old_go_whoever_wrote_them(room):
    """Of frames and of labels, where nobody makes Parquet of them; never one that is open, nor one of today."""
    made = {}
    for folder, ending in (("frames", ".frames"), ("labels", ".labels"), ("frames", ".open")):
        for days in (0, 3):
            path = room.folder / folder / f"{days}{ending}"
            path.parent.mkdir(exist_ok=True)
            path.touch()
            os.utime(path, (then := time.time() - days * 86_400 - 60, then))
            made[path] = days and ending != ".open"
    writing_in(room, keep=2 * 86_400.0).capture.close()
    assert {path for path in made if not path.exists()} == {path for path, goes in made.items() if goes}


def test_a_server_that_was_asked_nothing_leaves_no_file(room):
    """Empty files would have to be read, and explained."""
    writing_in(room).capture.close()
    assert list((room.folder / "frames").iterdir()) == []


def test_only_the_owner_reads_them(room):
    """Rows may be of persons."""
    made = writing_in(room)
    keep(made)
    made.capture.close()
    (path,) = (room.folder / "frames").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600


def test_hostile_ids_come_back_as_they_were(room):
    """Quotes, line ends, zero bytes, letters of any kind: they stand in JSON."""
    made = writing_in(room)
    ids = {caller: keep(made, caller=caller) for caller in ('"', "\x00\n", "\u202e\U0001f600", "]}, {" * 20)}
    made.capture.close()
    found = kept_in(room.folder)
    assert {caller: found[first].caller for caller, first in ids.items()} == {
        caller: caller for caller in ids
    }


def left_by_a_dead_worker(folder, *, torn):
    """Write a file as a worker does that is killed within its second frame."""
    places = Places(folder)
    places.frames.mkdir(parents=True)
    layout = FrameLayout("m", "3", "ab" * 32, COLUMNS)
    frame = Frame("0" * 30, "m", "3", "ab" * 32, 0, 1.0, *[np.zeros((1, 3)), np.zeros(1), np.zeros(1)], ())
    path = places.frames / "1-a.open"
    path.write_bytes(record(layout.head()) + record(frame.head(), frame.parts()) * 2)
    whole = path.stat().st_size
    os.truncate(path, whole - torn)
    return path


@pytest.mark.parametrize("torn", [0, 5])
def test_what_a_dead_worker_left_is_renamed_as_it_is(tmp_path, torn):
    """Nobody else may close it; a torn end stays behind what is whole, where readers stop and count."""
    path = left_by_a_dead_worker(tmp_path, torn=torn)
    before = path.read_bytes()
    assert Places(tmp_path).close_dead() == 1
    assert not path.exists()
    assert path.with_suffix(".frames").read_bytes() == before
    assert len(list(RecordFile(path.with_suffix(".frames")))) == (2 if torn else 3)


def test_what_stands_behind_a_spoilt_record_is_not_destroyed(tmp_path):
    """A disk flipped a bit: the compactor sets aside what it cannot read, and it can still be looked at."""
    path = left_by_a_dead_worker(tmp_path, torn=0)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert Places(tmp_path).close_dead() == 1
    assert path.with_suffix(".frames").read_bytes() == content


def test_what_a_living_worker_writes_is_left_alone(tmp_path):
    """Its lock says so, whatever its process is called."""
    path = left_by_a_dead_worker(tmp_path, torn=5)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert Places(tmp_path).close_dead() == 0
        assert path.exists()


def test_what_is_none_of_ours_is_left_alone(tmp_path):
    """A foreign file of that name, a link to one elsewhere, and a file whose owner is about to lock it."""
    frames = Places(tmp_path).frames
    frames.mkdir()
    (tmp_path / "notes").write_text("mine")
    (frames / "a.open").write_text("somebody's notes")
    (frames / "b.open").symlink_to(tmp_path / "notes")
    (frames / "c.open").touch()
    (frames / "d.open").touch()
    os.utime(frames / "d.open", (0, 0))
    (frames / "e.open").mkdir()
    assert Places(tmp_path).close_dead() == 0
    assert {path.name for path in frames.iterdir()} == {"a.open", "b.open", "c.open", "e.open"}
    assert (frames / "a.open").read_text() == "somebody's notes"
