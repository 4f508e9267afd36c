"""Tasks for workers: each is done once, whoever is killed; one that hangs is seen, and tried once more.

Dask does a task anew whose worker is lost. So a task has to be one that may be begun twice: its result counts once, and
what it writes has the same name and bytes.
"""

from __future__ import annotations

import math
import os
import pickle
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from data.workers.errands import Errand, versions_of
from data.workers.errors import EngineSilent, FileNotSeen, OtherVersions, TaskEnded
from data.workers.sent_code import our_code

Item = TypeVar("Item")

PATIENCE = 600
"""Seconds without a sign of a task, after which it hangs: a GB of text takes a minute."""

A_THREAD, MOST_TOGETHER = 4, 32
"""Tasks for each thread of a worker, so that none waits long for the last one; items of a task at most."""


@dataclass(frozen=True)
class Cluster:
    """The workers of a cluster.

    Attributes
    ----------
    where : str
        The scheduler, as the user called it.
    packages : sequence of str
        Ours, which a task imports from.
    needs : sequence of str
        Those of others that have a say in the bits: each worker has to have them as they are here.
    """

    client: Any = field(repr=False)
    where: str
    packages: Sequence[str]
    needs: Sequence[str]

    @property
    def threads(self) -> int:
        """How many tasks are done at once."""
        return max(sum(map(int, self.client.nthreads().values())), 1)

    def together(self, items: Sequence[Item], most: int = MOST_TOGETHER) -> list[list[Item]]:
        """Return the items of each task: neighbours, as many as there is no waiting for, and no more than so many."""
        size = min(math.ceil(len(items) / (A_THREAD * self.threads)), most)
        return [list(items[start : start + size]) for start in range(0, len(items), max(size, 1))]

    def each(
        self, function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any], *, what: str
    ) -> Iterator[tuple[Any, Any]]:
        """Yield tasks and what `function(shared, task)` returns of each, in the order in which they are done.

        Parameters
        ----------
        function : callable
            Of a module of ours; it calls `at_work` now and then.
        what : str
            A task in words, such as "scoring a part".

        Raises
        ------
        EngineError
            The workers cannot do it.
        DataError, ServingError, ...
            What the function raises.
        """
        from distributed import as_completed  # noqa: PLC0415 - the extra `dask`

        errand = Errand(versions_of(self.needs), str(_here()), PATIENCE, b"", b"")
        digest, code = our_code(self.packages)
        # Made by a task, not put on a worker: they are made again where the worker that holds them is lost.
        alike = [
            self.client.submit(bytes, each, pure=False) for each in (code, pickle.dumps((function, shared)))
        ]
        perform, tried = _performer(), dict.fromkeys(range(len(tasks)), 0)
        mark = secrets.token_hex(8)

        def given(place: int) -> Any:
            asked = replace(errand, items=pickle.dumps(tasks[place]))
            key = f"slipway-{mark}-{place}-{tried[place]}"
            return self.client.submit(perform, digest, *alike, vars(asked), pure=False, key=key)

        places = {given(place): place for place in tried}
        waiting = as_completed(list(places), loop=self.client.loop)
        try:
            for future in waiting:
                place = places.pop(future)
                ended = self._outcome(future, what)
                if isinstance(ended, TaskEnded):
                    tried[place] += 1
                    if tried[place] > 1:
                        raise ended
                    again = given(place)
                    places[again] = place
                    waiting.add(again)
                else:
                    yield tasks[place], ended[0]
                future.release()
        finally:
            self.client.cancel([*places, *alike], force=True)

    def _outcome(self, future: Any, what: str) -> tuple[Any] | TaskEnded:
        """Return what a task came to in a tuple, or how it was ended; raises what it raised."""
        code, answer, said, worker = self._answer(future, what)
        if code < 0:
            how = "hangs" if code == -signal.SIGALRM else f"was killed (signal {-code})"
            return TaskEnded(what=what, how=how, worker=worker)
        if code or not answer:
            raise _failure(what, said, worker)
        done, *facts = pickle.loads(answer)  # noqa: S301 - of our own process beside a worker
        if done:
            return (facts[0],)
        error, is_absent = facts
        if is_absent:
            raise FileNotSeen(worker=worker, what=_file_in(error))
        if isinstance(error, OtherVersions):
            error = OtherVersions(
                where=f"worker {worker}", package=error.package, found=error.found, expected=error.expected
            )
        if isinstance(error, ImportError):
            raise _failure(what, str(error), worker)
        raise error

    def _answer(self, future: Any, what: str) -> tuple[int, bytes, str, str]:
        from concurrent.futures import CancelledError  # noqa: PLC0415

        from distributed import KilledWorker  # noqa: PLC0415 - the extra `dask`

        try:
            return future.result()  # type: ignore[no-any-return]
        except KilledWorker as error:
            raise TaskEnded(
                what=what,
                how="ended with its worker again and again",
                repair="workers want more memory as a rule; run the same again, and what is written already stays",
            ) from error
        except CancelledError as error:
            raise EngineSilent(
                where=self.where,
                reason="was lost",
                repair="run the same again, and what is written already stays",
            ) from error


def _here() -> str:
    return os.getcwd()  # noqa: PTH109 - as it is called, not where a link leads


def _file_in(error: BaseException) -> str:
    """Return which file an error is about, as far as it says."""
    named = getattr(error, "filename", None)
    return str(named or str(error).splitlines()[0])


def _failure(what: str, said: str, worker: str) -> TaskEnded:
    """Return what to say of a task whose process could not do it at all."""
    last = (said.strip().splitlines() or ["without a word"])[-1]
    lacks = last.rpartition("No module named ")[2] if "No module named" in last else ""
    repair = f"install {lacks.split('.')[0]} there" if lacks else "see the worker's log"
    return TaskEnded(what=what, how=f"failed ({last})", worker=worker, repair=repair)


def _performer() -> Callable[..., tuple[int, bytes, str, str]]:
    """Return what a worker runs: made in here, it is sent by value, and neither worker nor scheduler needs our code."""

    def perform(digest: str, code: bytes, job: bytes, errand: dict[str, Any]) -> tuple[int, bytes, str, str]:
        import io  # noqa: PLC0415 - there
        import os  # noqa: PLC0415
        import pickle  # noqa: PLC0415
        import shutil  # noqa: PLC0415
        import subprocess  # noqa: PLC0415
        import sys  # noqa: PLC0415
        import tempfile  # noqa: PLC0415
        import zipfile  # noqa: PLC0415

        from distributed import get_worker  # noqa: PLC0415

        worker = get_worker()
        folder = os.path.join(worker.local_directory, "slipway-" + digest)  # noqa: PTH118
        if not os.path.isdir(folder):  # noqa: PTH112
            made = tempfile.mkdtemp(dir=worker.local_directory)
            zipfile.ZipFile(io.BytesIO(code)).extractall(made)
            try:
                os.rename(made, folder)  # noqa: PTH104
            except OSError:  # another thread was faster
                shutil.rmtree(made)
        begin = "import sys; sys.path.insert(0, sys.argv[1]); from data.workers.errands import begin; begin()"
        done = subprocess.run(
            [sys.executable, "-P", "-c", begin, folder],
            input=pickle.dumps({**errand, "job": job}),
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")[-2000:], worker.address

    return perform
