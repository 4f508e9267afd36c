"""A cluster that an address names, reached and looked at before it is given anything."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

from data.workers.addresses import Address
from data.workers.errors import EngineSilent, NoDask, NoWorkers, OtherVersions
from data.workers.tasks import Cluster

SECONDS = 10
"""That are waited for a scheduler, and for its first worker."""

COMPARED = {"Python": ("python", 2), "distributed": ("distributed", 3)}
"""What a scheduler and its workers have to have as it is here: how Dask calls it, and how many of its numbers."""


def check_installed(address: Address) -> None:
    """Raise NoDask where the extra is absent."""
    if not find_spec("distributed"):
        raise NoDask(word=address.word)


@contextmanager
def reached(address: Address, *, packages: Sequence[str], needs: Sequence[str]) -> Iterator[Cluster]:
    """Yield the workers at an address; raises EngineError.

    Parameters
    ----------
    packages, needs
        As in `Cluster`.
    """
    check_installed(address)
    with ExitStack() as stack:
        client = stack.enter_context(_client(address, stack))
        where = address.where or address.word
        _compare(client, where)
        try:
            client.wait_for_workers(1, timeout=SECONDS)
        except TimeoutError:
            raise NoWorkers(where=where, seconds=SECONDS) from None
        yield Cluster(client, where, packages, needs)


def _client(address: Address, stack: ExitStack) -> Any:
    from distributed import Client  # noqa: PLC0415 - the extra `dask`

    for name in [each for each in logging.root.manager.loggerDict if each.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is to be known is said in a line
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other versions: see below
            if address.where.startswith("tls:"):
                _check_certificates(address)
            at = address.where or stack.enter_context(_local())
            return Client(at, timeout=SECONDS, set_as_default=False)
    except (OSError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise EngineSilent(where=address.word, reason=f"does not answer ({reason})") from error


def _check_certificates(address: Address) -> None:
    """Raise EngineSilent where this machine was told none: a client without them would try for a while."""
    from distributed.security import Security  # noqa: PLC0415 - the extra `dask`

    if Security().get_connection_args("client")["ssl_context"] is None:
        raise EngineSilent(
            where=address.word,
            reason="asks for certificates",
            repair="set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
            "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY to their files",
        )


def _local() -> Any:
    """Return a cluster of a process for each processor, which nobody else can reach: it has certificates of its own."""
    from distributed import LocalCluster  # noqa: PLC0415 - the extra `dask`

    return LocalCluster(
        threads_per_worker=1,
        memory_limit=None,
        dashboard_address="127.0.0.1:0",
        security=True,
        silence_logs=logging.CRITICAL,
    )


def _compare(client: Any, where: str) -> None:
    """Raise OtherVersions for a scheduler or a worker that has others than this machine."""
    found = client.get_versions(check=False)
    there = {where: found["scheduler"], **{f"worker {name}": each for name, each in found["workers"].items()}}
    for place, each in there.items():
        for package, (name, numbers) in COMPARED.items():
            known, here = (_cut(one["packages"], name, numbers) for one in (each, found["client"]))
            if known != here:
                raise OtherVersions(where=place, package=package, found=known, expected=here)


def _cut(packages: Any, name: str, numbers: int) -> str:
    return ".".join(str(packages.get(name)).split(".")[:numbers])
