"""The workers of a Dask cluster: reached, compared with this machine, and given tasks that run once each.

Dask is a scheduler here and no more. A task is a process of its own beside a worker, with our code, which comes along:
whatever the worker itself has imported stays out of it, and it can be ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.faces import at_first_use

if TYPE_CHECKING:
    from data.workers.addresses import Address
    from data.workers.errands import at_work
    from data.workers.errors import EngineError
    from data.workers.ordering import in_order
    from data.workers.reaching import check_installed, reached
    from data.workers.sent_code import our_code
    from data.workers.tasks import Cluster

__all__ = [
    "Address",
    "EngineError",
    "Cluster",
    "at_work",
    "check_installed",
    "in_order",
    "our_code",
    "reached",
]

__getattr__ = at_first_use(
    __name__,
    {
        "Address": "addresses",
        "EngineError": "errors",
        "Cluster": "tasks",
        "at_work": "errands",
        "check_installed": "reaching",
        "in_order": "ordering",
        "our_code": "sent_code",
        "reached": "reaching",
    },
)
