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
from typing import ClassVar

from data.captures.dead_owners import closed
from data.own_files import OPEN


@dataclass(frozen=True)
class Places:
    """The folders of one capture folder, and how files end there that are closed."""

    FRAMES: ClassVar[str] = ".frames"
    LABELS: ClassVar[str] = ".labels"

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
        """Give the files their names that dead owners left open; return how many."""
        left = [(self.frames, self.FRAMES), (self.labels, self.LABELS)]
        opened = [(path, ending) for folder, ending in left for path in sorted(folder.glob(f"*{OPEN}"))]
        return sum(closed(path, ending) for path, ending in opened)
