"""One request that brings labels, from its body to its answer, which it gets when the disk has them."""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from data.labels import labels_record
from serving.errors import NoRoom, NotKept, RequestError, TooSlow
from serving.front.feedback.feedback_figures import FeedbackFigures
from serving.front.feedback.label_bodies import labels_in
from serving.front.feedback.label_writing import LabelWriter
from serving.protocols import Answer, responses
from serving.rows import budget
from serving.settings import Limits

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

logger = logging.getLogger(__name__)


class Sent(NamedTuple):
    """A request: for which model, its body, headers, what it holds of the budget, and when it has to be answered."""

    model: str
    body: bytes
    headers: Mapping[bytes, bytes]
    held: budget.Held
    deadline: float


class FeedbackErrors(responses.MlflowErrors):
    """How errors are written where labels are taken."""

    name = "feedback"


class Feedback:
    """One worker's."""

    def __init__(self, limits: Limits, writer: LabelWriter, figures: FeedbackFigures) -> None:
        self._limits, self._writer, self._figures = limits, writer, figures
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="reading-labels")
        """Of its own: large bodies of labels keep no rows from being scored."""

    def refused(self, error: RequestError) -> None:
        """Count a request that was refused."""
        self._figures.refused(type(error).__name__)

    def close(self) -> None:
        """Close the file of labels."""
        self._writer.close()

    async def take(self, sent: Sent) -> Answer:
        """Keep the labels of a request; raises RequestError, and nothing of it is kept then."""
        count, record = await self._read_in_thread(sent)
        await self._write(record, sent.deadline)
        self._figures.kept(count)
        return Answer(responses.dump({"received": count}), 202)

    async def _read_in_thread(self, sent: Sent) -> tuple[int, bytes]:
        read = partial(sent.held.run, partial(self._read, sent))
        return await asyncio.get_running_loop().run_in_executor(self._reading, read)

    def _read(self, sent: Sent) -> tuple[int, bytes]:
        labels = labels_in(sent.body, sent.headers, self._limits)
        return len(labels), labels_record(sent.model, labels)

    async def _write(self, record: bytes, deadline: float) -> None:
        written = self._writer.write(record)
        try:
            async with asyncio.timeout(deadline - time.perf_counter()):
                await asyncio.wrap_future(written)
        except TimeoutError:
            raise TooSlow("the disk took too long; labels may be sent twice: send them again") from None
        except OSError as error:
            logger.error("labels are not kept: %s", error.strerror or error)  # noqa: TRY400 - the text says it all
            raise (NoRoom if error.errno in NO_ROOM else NotKept)() from error
