"""The hub's failures become one error that says how to go on."""

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from kvwire.errors import NotFoundError
from loadtest.datasets import source


def test_a_hub_that_cannot_be_reached_points_to_the_data_option(monkeypatch):
    def unreachable(*_args, **_options):
        raise LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(source, "hf_hub_download", unreachable)
    with pytest.raises(NotFoundError, match=r"t\.parquet of dataset a/b@01234567 .*no connection.*--data"):
        source.fetch_from_hub(source.HubFile("a/b", "0123456789", "t.parquet"))
