"""A folder that is to hold the parts of one scoring, and no others, whoever else writes into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.sources.lakes import DELTA_LOG
from serving.batch.outputs import PARTIAL, PartFolder
from serving.batch.upkeep.manifest import MANIFEST, read_manifest
from serving.batch.upkeep.part_names import mark_of
from serving.errors import BadOutput


@dataclass(frozen=True)
class KeptFolder:
    """A folder, and what is to be in it.

    Attributes
    ----------
    folder : PartFolder
        Where the parts are.
    names : tuple of str
        Of the parts' files, in the order of the input.
    delta : bool
        Whether it is to be a Delta table, of which earlier versions keep their files.
    """

    folder: PartFolder
    names: tuple[str, ...]
    delta: bool = False

    def withdraw(self) -> None:
        """Remove the manifest, which is no longer true."""
        self.folder.remove(MANIFEST)

    def keep_what_moved(self) -> None:
        """Give parts that stand at another place now, since a file came before them, their new names."""
        there, wanted = self.folder.names(), set(self.names)
        if DELTA_LOG in there:  # it has them under the names that they have
            return
        by_mark = {mark: name for name in there if (mark := mark_of(name))}
        for name in self.names:
            old = by_mark.get(mark_of(name))
            if old and name not in there and old not in wanted:
                self.withdraw()
                self.folder.rename(old, name)

    def finish(self, content: bytes, commit: Callable[[], None]) -> None:
        """Take away what is no part of it, commit, and write the manifest; raises BadOutput where parts are gone."""
        there = self.folder.names()
        self._refuse_lost_parts(there)
        self._take_away_others(there)
        commit()
        try:
            with self.folder.whole(MANIFEST) as partial:
                partial.write_bytes(content)
        except FileNotFoundError:  # another one who finished at the same time threw it away
            if read_manifest(self.folder) != content:
                raise
        self._take_back_if_lost(content)

    def lost(self, what: str) -> BadOutput:
        """Return what to say where another one took something of this scoring away."""
        return BadOutput(
            reason=f"another scoring into {self.folder} took {what} of this one away",
            repair="let one end before the next begins, or name another folder",
        )

    def _refuse_lost_parts(self, there: Sequence[str]) -> None:
        """Raise BadOutput where one who scores otherwise into the folder took parts of this work away.

        A list may be older than what another machine wrote, on a disk that many share: each part that lacks is asked
        for.
        """
        lacking = set(self.names).difference(there)
        if lost := sum(self.folder.size(name) is None for name in lacking):
            raise self.lost(f"{lost} of {len(self.names)} parts")

    def _take_away_others(self, there: Sequence[str]) -> None:
        is_table = self.delta or DELTA_LOG in there  # which another one may have made, or be about to
        wanted = set(there if is_table else self.names)
        for name in there:
            is_left = name.endswith(PARTIAL) and name.startswith((".part-", f".{MANIFEST}."))
            if is_left or (mark_of(name) and name not in wanted):
                self.folder.remove(name)

    def _take_back_if_lost(self, content: bytes) -> None:
        """Remove a manifest whose parts went while it was written, and raise BadOutput; one of another's stays."""
        try:
            self._refuse_lost_parts(self.folder.names())
        except BadOutput:
            if self.folder.size(MANIFEST) is not None and read_manifest(self.folder) == content:
                self.withdraw()
            raise
