"""Ask the HTTP front door of this container for its health; ends with 0 if its receiver serves.

KVWIRE_LISTEN says where it listens. With TLS, KVWIRE_HEALTH_CA is the PEM CA, and the certificate names localhost too.
"""

# ruff: noqa: INP001  # a script of the image, not a package

import os
import ssl
import sys
import urllib.request

_TIMEOUT_S = 4.0  # under the 5 s that docker-compose.yml gives the whole check

port = os.environ["KVWIRE_LISTEN"].rpartition(":")[2]
ca = os.environ.get("KVWIRE_HEALTH_CA")
context = ssl.create_default_context(cafile=ca) if ca else None
address = f"{'https' if ca else 'http'}://localhost:{port}/health"
try:
    urllib.request.urlopen(address, timeout=_TIMEOUT_S, context=context).close()  # noqa: S310  # http or https, by us
except OSError as error:  # HTTPError is one
    sys.exit(f"unhealthy: {address}: {error}")
