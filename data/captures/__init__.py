"""What a server keeps of the predictions that it gave: frames of rows in files, and the ids of the rows.

    ids       a prediction's id, which leads to its frame and row
    records   how anything is appended to a file and read back after a crash
    places    where the files lie
    frame     rows, predictions and what was asked, as one record

Workers append; whoever watches a model reads. Nothing here imports pyarrow, which a worker must not.
"""

from data.captures.frame import Frame, FrameLayout, KeptRequest, Unseen
from data.captures.ids import PredictionId, frame_id
from data.captures.places import Places
from data.captures.records import Record, RecordFile, record

__all__ = [
    "Frame",
    "FrameLayout",
    "Places",
    "PredictionId",
    "Record",
    "RecordFile",
    "KeptRequest",
    "Unseen",
    "frame_id",
    "record",
]
