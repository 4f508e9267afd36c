"""Who may ask, from where, how often, and under which paths; sees neither bodies nor models."""

from serving.access import identities, tls, url_paths
from serving.access.browsers import Browsers, origin
from serving.access.callers import Access, host
from serving.access.keys import read_keys
from serving.access.url_paths import prefix
from serving.access.watched_files import Watched

__all__ = [
    "Access",
    "Browsers",
    "Watched",
    "identities",
    "tls",
    "url_paths",
    "read_keys",
    "host",
    "origin",
    "prefix",
]
