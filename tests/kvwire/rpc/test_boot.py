"""Before a model is loaded."""

import pytest

from kvwire.config import SharerSettings
from kvwire.errors import StartError
from kvwire.rpc.boot import boot


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
async def test_a_device_that_is_not_there_stops_the_start(device):
    """Its memory is planned with before anything is loaded to it."""
    settings = SharerSettings(model="path:absent", device=device)
    with pytest.raises(StartError, match=f"'{device}'.*cpu"):
        await boot(settings, lambda _: None)
