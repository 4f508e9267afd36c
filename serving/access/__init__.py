"""Who may ask, from where, and under which paths; sees neither bodies nor models."""

from serving.access import url_paths
from serving.access.browsers import Browsers, origin
from serving.access.callers import Access, host
from serving.access.keys import key_files
from serving.access.tls import check_pair
from serving.access.url_paths import prefix

__all__ = ["Access", "Browsers", "check_pair", "host", "origin", "url_paths", "key_files", "prefix"]
