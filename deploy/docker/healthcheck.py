"""Ask the service of this container for its health over gRPC; ends with 0 if it answers.

KVWIRE_LISTEN says where it listens. With TLS, KVWIRE_HEALTH_CA is the PEM CA, and the certificate names localhost too.
"""

# ruff: noqa: INP001  # a script of the image, not a package

import asyncio
import os
import sys
from pathlib import Path

from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.security import ClientSecurity

_TIMEOUT_S = 4.0  # under the 5 s that docker-compose.yml gives the whole check


async def check() -> None:
    """Wait until the service is healthy.

    Raises:
        KvwireError: It is not, or not in time.
    """
    port = os.environ["KVWIRE_LISTEN"].rpartition(":")[2]
    ca = os.environ.get("KVWIRE_HEALTH_CA")
    async with Client(f"localhost:{port}", ClientSecurity(ca=Path(ca) if ca else None)) as client:
        await client.wait_ready(_TIMEOUT_S)


try:
    asyncio.run(check())
except KvwireError as error:
    sys.exit(f"unhealthy: {error}")
