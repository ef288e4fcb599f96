"""What services log: a line per call, which names the request, on both sides."""

import json
from datetime import datetime

import pytest

from kvwire.client import Client
from kvwire.errors import NotFoundError
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text


@pytest.fixture
def logs(tiny_llama, tmp_path, monkeypatch):
    """Asks twice, once for a sharer that is not there, and gives the log's folder once both services have ended."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))

    async def ask(form):
        model = f"path:{tiny_llama}"
        with running_pair(Pair(model, model), ["--threads", "1", "--log-format", form], tmp_path) as (_, receiver):
            async with Client(receiver.address) as client:
                await client.generate_all(request("mia-1", "sharer"))
                with pytest.raises(NotFoundError):
                    await client.generate_all(request("mia-2", "nobody"))
        return tmp_path

    return ask


def request(request_id, sharer):
    exchange = Exchange(Method.PREFIX, codec="fp16", sharer=sharer)
    return GenerateRequest(Text("Key?"), Text("Mia."), exchange, 2, info=RequestInfo(request_id))


async def test_json_logs_name_the_request_on_both_sides(logs):
    """Each line is one object; a failure says why."""
    folder = await logs("json")
    lines = {
        side: [json.loads(line) for line in (folder / f"{side}.log").read_text().splitlines()]
        for side in ("sharer", "receiver")
    }
    of_first = {side: [each for each in found if each.get("request_id") == "mia-1"] for side, found in lines.items()}
    assert all(any("OK after" in each["message"] for each in found) for found in of_first.values())
    (failed,) = [each for each in lines["receiver"] if each.get("request_id") == "mia-2"]
    assert "NOT_FOUND" in failed["message"]
    assert "nobody" in failed["message"]
    assert {each["service"] for each in lines["sharer"]} == {"sharer"}
    assert datetime.fromisoformat(failed["time"]).tzinfo is not None
    assert not any("Health" in each["message"] for found in lines.values() for each in found)


@pytest.mark.slow
async def test_plain_logs_name_it_too(logs):
    """For whoever reads them."""
    folder = await logs("text")
    assert "Generate: OK after" in (folder / "receiver.log").read_text()
    assert "[request mia-1]" in (folder / "sharer.log").read_text()
