"""A client of several addresses: where a question goes, and where it goes when nobody is there.

The services are scripted, the channels between are real.
"""

import asyncio
import math

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from kvwire.balancing.breaker import State
from kvwire.balancing.choice import Balance
from kvwire.client import Client
from kvwire.errors import KvwireError, OverloadedError, UnavailableError
from kvwire.requests import ScoreRequest
from kvwire.rpc.probe import Probe
from kvwire.security import ClientSecurity, ServerSecurity
from tests.kvwire.rpc.scripted import asked, client, scored, scripted, who


async def test_questions_on_one_context_go_to_one_address_and_contexts_to_all():
    """Generations and scorings alike."""
    async with scripted(3) as services, client(services) as receivers:
        contexts = [f"context {number}" for number in range(40)]
        first = [await who(receivers, asked(each)) for each in contexts]
        assert [await who(receivers, asked(each, "Why?")) for each in contexts] == first
        assert [await who(receivers, scored(each)) for each in contexts] == first
    assert set(first) == {each.address for each in services}


async def test_in_turn_if_that_is_wanted():
    """For comparison."""
    async with scripted(2) as services, client(services, balance=Balance.ROUND_ROBIN) as receivers:
        found = [await who(receivers, asked()) for _ in range(4)]
    assert found == [each.address for each in services] * 2


async def test_while_an_address_is_gone_others_answer_and_it_is_left_alone():
    """Every question, however many come at once; once it has failed so often nobody asks there for a while."""
    async with scripted(1, fails=["UNAVAILABLE"] * 1000) as gone, scripted(2) as services:
        async with client([*gone, *services]) as receivers:
            answers = await asyncio.gather(*(who(receivers, asked(f"context {each}")) for each in range(30)))
            assert set(answers) == {each.address for each in services}
            calls, breaker = gone[0].calls, receivers._calls._pool.members[0].breaker
            assert breaker.state is State.OPEN
            breaker._until_s = math.inf
            for each in range(30):
                await who(receivers, asked(f"context {each}"))
        assert gone[0].calls == calls


async def test_an_address_where_nobody_listens_fails_no_question():
    """A connection that is refused is as good as an answer that says so."""
    async with scripted(1) as [service], client([service], "127.0.0.1:1") as receivers:
        assert {await who(receivers, asked(f"context {each}")) for each in range(20)} == {service.address}


async def test_if_all_are_left_alone_somebody_is_asked_all_the_same():
    """A client has nobody to fall back to; who is back answers at once."""
    async with scripted(2, fails=["UNAVAILABLE"] * 6) as services, client(services) as receivers:
        for _ in range(6):
            with pytest.raises(UnavailableError, match=r"\(after 2 addresses\)"):
                await who(receivers, asked())
        assert await who(receivers, asked()) in [each.address for each in services]


async def test_an_address_is_back_with_the_first_token_of_its_first_answer():
    """Others need not wait for the last one."""
    async with scripted(2) as services, client(services) as receivers:
        for each in receivers._calls._pool.members:
            each.breaker.open("it was gone")
        stream = receivers.generate(asked())
        await anext(stream)
        assert [each.breaker.state for each in receivers._calls._pool.members].count(State.CLOSED) == 1
        await stream.aclose()


async def test_an_answer_that_breaks_off_is_not_begun_anew():
    """Its first token was handed on."""
    async with scripted(2, fails=["UNAVAILABLE"], after=1) as services, client(services) as receivers:
        stream = receivers.generate(asked())
        assert (await anext(stream)).id == 7
        with pytest.raises(UnavailableError):
            await anext(stream)
        assert sum(each.calls for each in services) == 1


async def test_a_scoring_that_breaks_off_is_made_elsewhere():
    """Nothing of it was handed on."""
    async with scripted(2, after=1) as services, client(services, balance=Balance.ROUND_ROBIN) as receivers:
        services[0].fails.append("UNAVAILABLE")
        assert await who(receivers, scored()) == services[1].address
        assert services[0].calls == 1


@pytest.mark.parametrize("status", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INTERNAL", "FAILED_PRECONDITION"])
async def test_who_answers_with_a_refusal_was_there(status):
    """Nobody else is asked, and nobody left alone."""
    async with scripted(2, fails=[status] * 10) as services, client(services) as receivers:
        for _ in range(6):
            with pytest.raises(KvwireError, match="as told"):
                await who(receivers, asked())
        assert sorted(each.calls for each in services) == [0, 6]


async def test_one_address_alone_is_called_once():
    """As before there could be several: a caller of one service hears at once what it said."""
    async with scripted(1, fails=["UNAVAILABLE"]) as [service], client([service]) as receiver:
        with pytest.raises(UnavailableError, match=r"as told; check that it runs and retry$"):
            await who(receiver, asked())
        assert service.calls == 1


async def test_the_next_address_has_what_is_left_of_the_time():
    """In the request, so that it does not compute for nobody."""
    async with scripted(2) as services, client(services, balance=Balance.ROUND_ROBIN) as receivers:
        services[0].fails.append("UNAVAILABLE")
        services[0].held_up = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, services[0].held_up.set)
        await who(receivers, asked(deadline_ms=30_000))
        [first_ms], [second_ms] = (each.deadlines_ms for each in services)
    assert 10_000 < second_ms <= first_ms - 200 < 30_000


async def test_a_context_that_many_ask_for_at_once_is_asked_of_others_too():
    """Of nine questions no address has more than a quarter over the mean."""
    async with scripted(2) as services, client(services) as receivers:
        services[0].held_up = services[1].held_up = asyncio.Event()
        services[0].began = services[1].began = asyncio.Queue()
        answers = [asyncio.create_task(who(receivers, asked())) for _ in range(9)]
        for _ in answers:
            await services[0].began.get()
        assert sorted(each.calls for each in services) == [3, 6]
        services[0].held_up.set()
        await asyncio.gather(*answers)


async def test_a_scoring_is_compared_where_the_other_one_is_kept():
    """Whatever its context, and nowhere else: the others never heard of it."""
    async with scripted(3) as services, client(services) as receivers:
        for number in range(20):
            home = await who(receivers, scored(f"context {number}", f"r{number}", keep=True))
            assert await who(receivers, scored("another context", compare_with=f"r{number}")) == home
        next(each for each in services if each.address == home).fails = ["UNAVAILABLE"]
        with pytest.raises(UnavailableError):
            await who(receivers, scored("another context", compare_with="r19"))


async def test_addresses_of_a_name_are_looked_up_and_prove_that_they_are_its(new_authority):
    """The certificate names no address; this machine's hosts file says what localhost stands for."""
    authority = new_authority()
    certificate, key = authority.issue("localhost")
    credentials = ServerSecurity(certificate, key).credentials()
    async with scripted(1, credentials) as [service]:
        port = service.address.rpartition(":")[2]
        security = ClientSecurity(ca=authority.certificate)
        async with Client(f"dns:localhost:{port}", security) as receivers:
            assert await who(receivers, asked()) == service.address
        async with Client(f"127.0.0.1:{port}", security) as receiver:
            with pytest.raises(UnavailableError):
                await who(receiver, asked())


async def test_a_limit_is_not_gone_around():
    """A caller who has used up an allowance hears so."""
    async with scripted(2, fails=["RESOURCE_EXHAUSTED"]) as services, client(services) as receivers:
        with pytest.raises(OverloadedError):
            await who(receivers, asked())
        assert sum(each.calls for each in services) == 1


@pytest.mark.parametrize("request_", [asked(), scored()])
async def test_a_report_names_the_address_that_answered(request_):
    """Not the one that was asked before it and was gone."""
    async with scripted(2) as services, client(services, balance=Balance.ROUND_ROBIN) as receivers:
        services[0].fails.append("UNAVAILABLE")
        ask = receivers.score if isinstance(request_, ScoreRequest) else receivers.generate_all
        assert (await ask(request_)).report.answered_at == services[1].address


@pytest.mark.parametrize("others", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"])
async def test_one_address_that_serves_is_enough_for_a_probe_of_any(others):
    """Wherever it stands among them; where there is none, the probe says so in the time it was given."""
    server, probe = grpc.aio.server(), Probe(["a.Service"])
    health_pb2_grpc.add_HealthServicer_to_server(probe, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"{others},127.0.0.1:{port}") as services:
        with pytest.raises(KvwireError):
            await services.wait_any_ready(0.5)
        probe.serves()
        await services.wait_any_ready(30)
        with pytest.raises(KvwireError):
            await services.wait_ready(0.5)
    await server.stop(None)
