"""What a server kept, read back: each row under its id."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.captures import Frame, FrameLayout, Places, PredictionId, RecordFile
from serving.front.capture.pending import Pending


@dataclass(frozen=True)
class KeptRow:
    """One row as it was kept."""

    layout: FrameLayout
    cells: tuple[float, ...]
    prediction: float
    scale: float
    row: int
    caller: str
    unseen: dict[str, str]
    share: float


def kept_in(folder: Path, *, endings: tuple[str, ...] = (".frames", ".open")) -> dict[str, KeptRow]:
    """Return all rows by their ids; a row that stands twice fails."""
    rows: dict[str, KeptRow] = {}
    for path in sorted(Places(folder).frames.iterdir()):
        if path.suffix not in endings:
            continue
        layouts = {}
        for record in RecordFile(path):
            if layout := FrameLayout.of(record):
                layouts[layout.key] = layout
            elif frame := Frame.of(record):
                found = rows_of(frame, layouts[frame.key])
                assert not rows.keys() & found.keys(), "a row stands twice"
                rows |= found
    return rows


def frame_of(pending: Pending) -> Frame:
    """Return what a reader finds of a frame that is written."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pending.record())
        (record,) = RecordFile(Path(file.name))
    frame = Frame.of(record)
    assert frame is not None
    return frame


def rows_of(frame: Frame, layout: FrameLayout) -> dict[str, KeptRow]:
    """Return a frame's rows by their ids."""
    starts = [each.start for each in frame.requests]
    found = {}
    for row in range(len(frame.predictions)):
        place = int(np.searchsorted(starts, row, side="right")) - 1
        found[str(PredictionId(frame.id, row))] = KeptRow(
            layout=layout,
            cells=tuple(frame.matrix[row].tolist()),
            prediction=float(frame.predictions[row]),
            scale=float(frame.scale[row]),
            row=row - starts[place],
            caller=frame.requests[place].caller_id,
            unseen={each.column: each.text for each in frame.unseen if each.row == row},
            share=frame.share,
        )
    return found


def after(first: str, row: int) -> str:
    """Return the id of a later row of a request."""
    known = PredictionId.parse(first)
    return str(PredictionId(known.frame, known.row + row))
