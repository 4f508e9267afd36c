"""A folder that is to hold the parts of one scoring, and no others, whoever else writes into it.

Scorings that overlap may begin, write and end in any order. Each of these holds where the folder can be held:

* While the manifest is there, its parts are, whole, and no others (in a Delta table: none that its log names).
* Who ends first has the folder. Another one, who began before, ends at its next part with one line.
* Who begins withdraws the manifest of others first, and looks then at what is there. So it ends with a manifest of its
  own, or by that of one who ended since.

In a bucket a part appears first and is taken back then: for that moment it may stand beside the manifest of others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from data.sources.lakes import DELTA_LOG
from serving.batch.outputs import PARTIAL, PartFolder
from serving.batch.upkeep.folder_checks import refuse_table
from serving.batch.upkeep.manifest import MANIFEST, said_of
from serving.batch.upkeep.part_names import mark_of
from serving.errors import BadOutput

REPAIR = "let one end before the next begins, or name another folder"
AT_ONCE = 16
"""Files that are asked for at the same time, which costs a journey to a store each."""


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

    def begin(self) -> dict[str, str]:
        """Withdraw a manifest of other parts, and give parts that stand at another place now their new names.

        Returns the digest of each part that the manifest named.
        """
        self.folder.make()
        said = said_of(self.folder)
        if self._is_others(said) or self._moved():
            with self.folder.held():
                said = said_of(self.folder)
                moved = self._moved()
                if moved or self._is_others(said):
                    self.folder.remove(MANIFEST)
                for old, name in moved.items():
                    self.folder.rename(old, name)
        by_mark = {mark_of(name): digest for name, digest in (said or {}).items()}
        return {name: by_mark[mark_of(name)] for name in self.names if mark_of(name) in by_mark}

    def whole(self, name: str) -> AbstractContextManager[Path]:
        """Yield where to write a part; raises BadOutput at the end where another scoring has ended since the begin."""
        return self.folder.whole(name, lambda: self._refuse_beside_others(name))

    def withdraw_unless(self, is_true: Callable[[], bool]) -> None:
        """Remove a manifest of these parts that is not true."""
        if said_of(self.folder) is None:
            return
        with self.folder.held():
            said = said_of(self.folder)
            if said is not None and not self._is_others(said) and not is_true():
                self.folder.remove(MANIFEST)

    def check(self, written: Collection[str]) -> None:
        """Raise BadOutput where another scoring has ended since the begin, or took away some of what was written.

        A list may be older than what another machine wrote, on a disk that many share: each part that lacks is asked
        for.
        """
        if self._is_others(said_of(self.folder)):
            self._refuse_outside_tables()
        lacking = set(written).difference(self.folder.names())
        if lost := sum(self.folder.size(name) is None for name in lacking):
            raise self.lost(f"{lost} of {len(self.names)} parts")

    def finish(self, content: bytes, commit: Callable[[], None]) -> None:
        """Take away what is no part of it, commit, and write the manifest; raises BadOutput as `check`."""
        with self.folder.held():
            self.check(self.names)
            self._take_away_others()
            commit()
            with self.folder.whole(MANIFEST) as partial:
                partial.write_bytes(content)
            self._take_away_others()  # whose writer may not have seen the manifest yet, in a bucket

    def lost(self, what: str) -> BadOutput:
        """Return what to say where another one took something of this scoring away."""
        reason = f"another scoring into {self.folder} took {what} of this one away"
        return BadOutput(reason=reason, repair=REPAIR)

    def _is_others(self, said: Collection[str] | None) -> bool:
        return said is not None and set(said) != set(self.names)

    def _refuse_beside_others(self, name: str) -> None:
        """Raise BadOutput where the manifest of another scoring is there, and does not name a part."""
        said = said_of(self.folder)
        if said is not None and name not in said:
            self._refuse_outside_tables()

    def _refuse_outside_tables(self) -> None:
        if not (self.delta and DELTA_LOG in self.folder.names()):
            raise BadOutput(
                reason=f"another scoring into {self.folder} has ended since this one began", repair=REPAIR
            )

    def _moved(self) -> dict[str, str]:
        """Return the new names of parts that a file came before."""
        there, wanted = self.folder.names(), set(self.names)
        if DELTA_LOG in there:  # it has them under the names that they have
            return {}
        by_mark = {mark: name for name in there if (mark := mark_of(name)) and name not in wanted}
        olds = {name: by_mark.get(mark_of(name)) for name in self.names if name not in there}
        return {old: name for name, old in olds.items() if old}

    def _take_away_others(self) -> None:
        there = self.folder.names()
        if not self.delta:
            refuse_table(self.folder, there)  # which another one made since the begin
        wanted = set(there if self.delta else self.names)
        others = [name for name in there if _is_left(name) or (mark_of(name) and name not in wanted)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self.folder.remove, others))


def _is_left(name: str) -> bool:
    """Return whether a file was being written by who is dead, or has lost the folder."""
    return name.endswith(PARTIAL) and name.startswith((".part-", f".{MANIFEST}."))
