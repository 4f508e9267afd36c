"""Which version is meant, who vouches for it, and its files on this machine. The parent process calls this.

    answers      what MLflow says of a place, and the ledger of it
    promotions   that ledger's entries
    signed       what a trusted key says
    downloads    files from the artifact store
    cache        files that are kept here
    located      where --model points -> its files
    given_run    the run that `mlflow run` gave a command

It imports mlflow, but only for what is not a local folder.
"""

from serving.registry import given_run, promotions
from serving.registry.answers import ResolvedVersion, is_remote, resolve, signed_for, vouched
from serving.registry.cache import Cache
from serving.registry.located import local, locate

__all__ = [
    "Cache",
    "ResolvedVersion",
    "given_run",
    "is_remote",
    "local",
    "locate",
    "promotions",
    "resolve",
    "signed_for",
    "vouched",
]
