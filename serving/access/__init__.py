"""Who may ask, from where, and under which paths; sees neither bodies nor models."""

from serving.access import paths
from serving.access.browsers import Browsers, origin
from serving.access.callers import Access, host, read_hashes
from serving.access.paths import prefix
from serving.access.tls import check_pair

__all__ = ["Access", "Browsers", "check_pair", "host", "origin", "paths", "prefix", "read_hashes"]
