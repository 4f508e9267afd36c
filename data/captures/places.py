"""Where things lie in a folder of captures.

frames/*.open, *.frames     what workers wrote of their predictions: open while it is written
labels/*.open, *.labels     what came back as the truth
predictions/                the first as Parquet, by model, version, date and hour
outcomes/                   the second as Parquet, by model and date of receipt

Who writes an open file holds its lock as long as he lives; the kernel lets go of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data.captures.dead_owners import closed


@dataclass(frozen=True)
class Places:
    """The folders of one capture folder."""

    folder: Path

    @property
    def frames(self) -> Path:
        """Records of `Layout` and `Frame`."""
        return self.folder / "frames"

    @property
    def labels(self) -> Path:
        """Records of labels."""
        return self.folder / "labels"

    @property
    def predictions(self) -> Path:
        """Parquet files of predicted rows."""
        return self.folder / "predictions"

    @property
    def outcomes(self) -> Path:
        """Parquet files of labels."""
        return self.folder / "outcomes"

    def close_dead(self) -> int:
        """Close the files that dead owners left open: cut to their last whole record, and renamed. Return how many."""
        left = [(self.frames, ".frames"), (self.labels, ".labels")]
        return sum(closed(path, ending) for folder, ending in left for path in sorted(folder.glob("*.open")))
