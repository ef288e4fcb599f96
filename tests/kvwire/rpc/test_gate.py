"""The gate of a server over real sockets: who is let in, to what, how often. Its one service says who asks."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from kvwire.callers.caller import Allowance, Caller, Size
from kvwire.callers.door import Door, calling
from kvwire.callers.file import sha256
from kvwire.client import Client
from kvwire.errors import AuthenticationError, ForbiddenError, OverloadedError, UnavailableError
from kvwire.requests import Exchange, GenerateRequest, Method, Text
from kvwire.rpc.in_flight import InFlight
from kvwire.rpc.interceptors import Gate
from kvwire.rpc.probe import Probe
from kvwire.rpc.relay_serde import RelayAsked
from kvwire.rpc.sizes import size_of
from kvwire.security import ClientSecurity, ServerSecurity
from kvwire.telemetry import Metrics
from kvwire.tracing import NoTracer
from kvwire.v1 import model_service_pb2, model_service_pb2_grpc, receiver_service_pb2, sharer_service_pb2

MIA = sha256("mia's token")


class SaysWho(model_service_pb2_grpc.ModelServiceServicer):
    """Describes itself as its caller, and generates one token until it is hung up on."""

    async def Describe(self, request, context):  # noqa: ARG002, N802
        return model_service_pb2.DescribeResponse(software=calling.get())

    async def Generate(self, request, context):  # noqa: ARG002, N802
        yield model_service_pb2.GenerateResponse(token={"id": 7})
        await asyncio.Event().wait()


@dataclass
class Served:
    """A server's address, and clients of it."""

    address: str
    folder: object

    def client(self, token=None, **security):
        if token is not None:
            (self.folder / "token").write_text(token)
            security["token_file"] = self.folder / "token"
        return Client(self.address, ClientSecurity(**security))


@pytest.fixture
def serving(tmp_path):
    @asynccontextmanager
    async def serve(*callers, **security):
        server = grpc.aio.server(interceptors=[Gate(Metrics("receiver"), Door(callers), NoTracer(), InFlight())])
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(SaysWho(), server)
        probe = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(probe, server)
        reflection.enable_server_reflection([reflection.SERVICE_NAME], server)
        credentials = ServerSecurity(**security).credentials()
        where = "127.0.0.1:0"
        port = server.add_secure_port(where, credentials) if credentials else server.add_insecure_port(where)
        await server.start()
        await probe.set("", health_pb2.HealthCheckResponse.SERVING)
        try:
            yield Served(f"127.0.0.1:{port}", tmp_path)
        finally:
            await server.stop(None)

    return serve


def asked(text="hello", max_new_tokens=1):
    return GenerateRequest(Text(text), None, Exchange(Method.RECEIVER_ONLY), max_new_tokens)


async def who(client):
    async with client:
        return (await client.describe()).software


async def test_a_caller_is_known_by_its_token(serving):
    """The service is told its name."""
    async with serving(Caller("mia", MIA)) as served:
        assert await who(served.client("mia's token")) == "mia"
        for token in (None, "tom's token"):
            with pytest.raises(AuthenticationError, match="bearer token"):
                await who(served.client(token))


async def test_a_call_that_is_not_allowed_is_refused(serving):
    """Streams too; what is allowed goes through."""
    async with (
        serving(Caller("mia", MIA, calls=frozenset({"Describe"}))) as served,
        served.client("mia's token") as client,
    ):
        with pytest.raises(ForbiddenError, match="mia may not call Generate; allowed: Describe"):
            await client.generate_all(asked())
        assert await client.describe()


async def test_a_probe_needs_no_secret_and_reflection_does(serving):
    """Reflection shows nothing secret, but who may not call has no business there."""
    async with serving(Caller("mia", MIA)) as served, grpc.aio.insecure_channel(served.address) as channel:
        await Client(served.address).wait_ready(timeout_s=5)
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        asking = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.ServerReflectionInfo(iter(asking))))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        call = stub.ServerReflectionInfo(iter(asking), metadata=[("authorization", "Bearer mia's token")])
        assert (await anext(aiter(call))).HasField("list_services_response")


async def test_a_certificate_is_a_caller_s_name(serving, new_authority):
    """In mutual TLS, by the callers' file or, without one, by itself."""
    authority = new_authority()
    own, mias = authority.issue("127.0.0.1"), authority.issue("mia.example")
    tls = {"certificate": own[0], "private_key": own[1], "client_ca": authority.certificate}
    shown = {"ca": authority.certificate, "certificate": mias[0], "private_key": mias[1]}
    async with serving(**tls) as served:
        assert await who(served.client(**shown)) == "mia.example"
    async with serving(Caller("mia", certificate="mia.example"), Caller("tom", MIA), **tls) as served:
        assert await who(served.client(**shown)) == "mia"
        assert await who(served.client("mia's token", **shown)) == "tom"


REFUSED = ["none", "of another authority", "expired"]


@pytest.mark.parametrize("certificate", REFUSED)
async def test_a_client_without_a_good_certificate_is_not_spoken_to(serving, new_authority, certificate):
    """With mutual TLS, before any call is read."""
    authority, other = new_authority(), new_authority()
    own = authority.issue("127.0.0.1")
    tls = {"certificate": own[0], "private_key": own[1], "client_ca": authority.certificate}
    shown = {
        "none": (None, None),
        "of another authority": other.issue("mia.example"),
        "expired": authority.issue("mia.example", expired=True),
    }[certificate]
    async with serving(**tls) as served:
        with pytest.raises(UnavailableError):
            await who(served.client(ca=authority.certificate, certificate=shown[0], private_key=shown[1]))


@pytest.mark.parametrize("server", ["of another authority", "of another host", "expired"])
async def test_a_client_does_not_speak_to_a_server_it_cannot_trust(serving, new_authority, server):
    """Its token is not sent."""
    authority, other = new_authority(), new_authority()
    own = {
        "of another authority": other.issue("127.0.0.1"),
        "of another host": authority.issue("receiver.example"),
        "expired": authority.issue("127.0.0.1", expired=True),
    }[server]
    async with serving(Caller("mia", MIA), certificate=own[0], private_key=own[1]) as served:
        with pytest.raises(UnavailableError):
            await who(served.client("mia's token", ca=authority.certificate))


async def test_streams_at_once_are_limited_and_one_that_is_hung_up_on_makes_room(serving):
    """The place is free when the call ends, however it does."""
    async with (
        serving(Caller("mia", MIA, allowance=Allowance(max_in_flight=1))) as served,
        served.client("mia's token") as client,
    ):
        running = client.generate(asked())
        await anext(running)
        with pytest.raises(OverloadedError, match="has 1 requests in flight, its limit is 1"):
            await client.describe()
        await running.aclose()
        while True:
            try:
                assert await client.describe()
                break
            except OverloadedError:
                continue


@pytest.mark.parametrize(
    ("allowance", "request_", "words"),
    [
        (Allowance(max_request_bytes=100), asked("x" * 200), "may send 100 bytes in a request, this one has 2"),
        (Allowance(max_new_tokens=8), asked(max_new_tokens=9), "may have 8 tokens made, 9 are asked for"),
    ],
    ids=["bytes", "answer"],
)
async def test_a_request_beyond_its_caller_s_size_is_refused(serving, allowance, request_, words):
    """Before anything is tokenized."""
    async with (
        serving(Caller("mia", MIA, allowance=allowance)) as served,
        served.client("mia's token") as client,
    ):
        with pytest.raises(OverloadedError, match=words):
            await client.generate_all(request_)
        assert await anext(client.generate(asked()))


async def test_who_calls_too_often_is_told_when_to_try_again(serving):
    """Another caller is not held up."""
    hasty = Caller("mia", MIA, allowance=Allowance(requests_per_second=0.01, burst=2))
    async with serving(hasty, Caller("tom", sha256("tom's token"))) as served:
        async with served.client("mia's token") as mia:
            await mia.describe()
            await mia.describe()
            with pytest.raises(OverloadedError, match=r"0\.01 requests a second, 2 at once; try again in \d+\.\d s"):
                await mia.describe()
        assert await who(served.client("tom's token")) == "tom"


def test_the_size_of_a_request_is_what_it_asks_of_the_service():
    """Requests that are scored together count one by one; the longest text a model is to write counts."""
    generate = model_service_pb2.GenerateRequest(max_new_tokens=5, exchange={"relay_max_tokens": 7})
    scores = [model_service_pb2.ScoreRequest(exchange={"relay_max_tokens": n}) for n in (3, 4)]
    together = model_service_pb2.ScoreTogetherRequest(requests=scores)
    inspect = receiver_service_pb2.InspectRequest(generate=generate)
    relay = sharer_service_pb2.RelayRequest(max_new_tokens=9)
    relay_asked = RelayAsked.of(relay.SerializeToString())
    share = sharer_service_pb2.ShareRequest(codec="int8")
    expected = [(generate, 1, 7), (scores[0], 1, 3), (together, 2, 4), (inspect, 1, 7), (relay, 1, 9), (share, 1, 0)]
    for request, requests, new_tokens in expected:
        assert size_of(request) == Size(requests, request.ByteSize(), new_tokens), request
    assert size_of(relay_asked) == size_of(relay)
    assert size_of(RelayAsked.of(b"none")) == Size(1, 4)
    assert size_of(iter([])) == Size(1, 0, 0)


async def test_an_aborted_call_is_counted_by_the_name_of_its_status():
    """As one is that ends with an error."""
    metrics = Metrics("receiver")
    server = grpc.aio.server(interceptors=[Gate(metrics, Door(), NoTracer(), InFlight())])
    health_pb2_grpc.add_HealthServicer_to_server(Probe([]), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError):
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="none"))
    await server.stop(None)
    codes = {sample.labels["grpc_code"] for sample in metrics.calls.handled.collect()[0].samples}
    assert codes == {"NOT_FOUND"}
