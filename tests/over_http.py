"""One HTTP request, with no client library to tidy it up."""

import http.client
from contextlib import closing


def fetch(address, path, method="GET", body=None, **headers):
    """Status, headers and body of the answer; a ``_`` in a header's name stands for ``-``."""
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
