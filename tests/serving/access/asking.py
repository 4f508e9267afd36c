"""Requests with the headers of a browser or a proxy, sent as they are."""

from __future__ import annotations

import http.client
from contextlib import closing


def ask(served, method, path, body=None, **headers):
    """Send one request as it is; return status, headers with the names in lower case, and body."""
    host, port = served.url.removeprefix("http://").split(":")
    with closing(http.client.HTTPConnection(host, int(port), timeout=20)) as connection:
        connection.request(
            method, path, body, {name.replace("_", "-"): text for name, text in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
