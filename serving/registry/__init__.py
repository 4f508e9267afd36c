"""Which version is meant, who vouches for it, and its files on this machine."""

from serving.registry import given_run, promotions
from serving.registry.store import (
    Cache,
    ResolvedVersion,
    is_remote,
    local,
    locate,
    resolve,
    signed_for,
    vouched,
)

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
