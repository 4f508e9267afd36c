"""One request that brings labels, from its body to its answer, which it gets when the disk has them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple

from data.labels import labels_record
from data.own_files import NO_ROOM
from serving.errors import Busy, NoRoom, NotKept, RequestError, TooSlow
from serving.front.feedback.feedback_figures import FeedbackFigures
from serving.front.feedback.label_bodies import labels_in
from serving.front.feedback.label_writing import LabelWriter
from serving.protocols import Answer, responses
from serving.rows import budget
from serving.settings import Limits

logger = logging.getLogger(__name__)


MOST_IN_WORK = 16
"""Requests whose labels are read or written: a disk that hangs holds these, and no place in which rows are scored."""


class Sent(NamedTuple):
    """A request: for which model, its body, headers, where memory is held, and when it has to be answered."""

    model: str
    body: bytes
    headers: Mapping[bytes, bytes]
    reserved: Callable[[int], AbstractContextManager[budget.Held]]
    deadline: float


class FeedbackErrors(responses.MlflowErrors):
    """How errors are written where labels are taken."""

    name = "feedback"


class Feedback:
    """One worker's."""

    def __init__(self, limits: Limits, writer: LabelWriter, figures: FeedbackFigures) -> None:
        self._limits, self._writer, self._figures = limits, writer, figures
        self._in_work = 0
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading-labels")
        """Of its own: labels wait for labels. The interpreter alone they share with what is scored (`MOST_LABELS`)."""

    def refused(self, error: RequestError) -> None:
        """Count a request that was refused."""
        self._figures.refused(type(error).__name__)

    def close(self) -> None:
        """Close the file of labels."""
        self._writer.close()

    async def take(self, sent: Sent) -> Answer:
        """Keep the labels of a request; raises RequestError, and nothing of it is kept then.

        After TooSlow it may still be kept: what is in work stays there, and holds its place until it ends.
        """
        if self._in_work >= MOST_IN_WORK:
            raise Busy("as many labels as this worker takes wait for the disk: try again")
        self._in_work += 1
        work = asyncio.ensure_future(self._keep(sent))
        work.add_done_callback(self._end)
        await asyncio.wait([work], timeout=sent.deadline - time.perf_counter())
        if not work.done():
            raise TooSlow("the disk took too long; labels may be sent twice: send them again")
        return Answer(responses.dump({"received": work.result()}), 202)

    def _end(self, work: asyncio.Future[int]) -> None:
        self._in_work -= 1
        if not work.cancelled():
            work.exception()  # nobody else may be there to see it

    async def _keep(self, sent: Sent) -> int:
        """Read labels and have them on the disk; return how many. Raises RequestError."""
        with sent.reserved(0) as held:
            read = partial(held.run, partial(self._read, sent))
            count, record = await asyncio.get_running_loop().run_in_executor(self._reading, read)
            held.set(len(sent.body) + len(record))  # until the disk has them, however long that is
            try:
                await asyncio.wrap_future(self._writer.write(record))
            except OSError as error:
                logger.error("labels are not kept: %s", error.strerror or error)  # noqa: TRY400 - the text says it all
                raise (NoRoom if error.errno in NO_ROOM else NotKept)() from error
        self._figures.kept(count)
        return count

    def _read(self, sent: Sent) -> tuple[int, bytes]:
        labels = labels_in(sent.body, sent.headers, self._limits)
        return len(labels), labels_record(sent.model, labels)
