"""Addresses of a name come and go as look-ups tell; the look-up itself is a function that is passed in."""

import asyncio
import socket
from dataclasses import dataclass, field

import pytest

from kvwire.balancing.breaker import Breaker
from kvwire.balancing.choice import least_busy
from kvwire.balancing.places import Name, Place, look_up, parse, system_resolve
from kvwire.balancing.pool import Pool
from kvwire.errors import StartError, UnavailableError


@dataclass(eq=False)
class Member:
    place: Place
    in_flight: int = 0
    closed: bool = False
    breaker: Breaker = field(default_factory=lambda: Breaker("it"))

    @property
    def address(self):
        return self.place.address

    async def close(self):
        self.closed = True


class Cluster:
    """What a name stands for, and a clock."""

    def __init__(self, *hosts):
        self.hosts = list(hosts)
        self.asked = 0
        self.now_s = 0.0

    async def resolve(self, host, port):
        self.asked += 1
        if not self.hosts:
            raise socket.gaierror(f"{host} is not known")
        return [f"{each}:{port}" for each in self.hosts]

    def pool(self, text="dns:sharers:7"):
        return Pool(parse(text), Member, least_busy, self.resolve, lambda: self.now_s)

    async def later(self, pool, seconds=5.0):
        """So much later somebody asks, and what that set off is done."""
        self.now_s += seconds
        await pool.refresh()
        if pool._looking is not None:
            await pool._looking


def known(pool):
    return [each.address for each in pool.members]


async def test_all_addresses_of_a_name_are_known_once_somebody_asks():
    """Each once, in an order that does not change; the certificate is to name the name."""
    cluster = Cluster("10.0.0.2", "10.0.0.1", "10.0.0.2")
    pool = cluster.pool()
    assert (known(pool), cluster.asked) == ([], 0)
    await pool.refresh()
    assert [each.place for each in pool.members] == [Place("10.0.0.1:7", "sharers"), Place("10.0.0.2:7", "sharers")]


async def test_a_name_is_looked_up_again_after_five_seconds_beside_the_calls():
    """Whoever asks meanwhile is not held up, and asks whom he knows."""
    cluster = Cluster("10.0.0.1")
    pool = cluster.pool()
    await pool.refresh()
    cluster.hosts = ["10.0.0.1", "10.0.0.2"]
    await cluster.later(pool, 4.9)
    assert (known(pool), cluster.asked) == (["10.0.0.1:7"], 1)
    cluster.now_s += 0.1
    await pool.refresh()
    assert known(pool) == ["10.0.0.1:7"]
    await cluster.later(pool, 0)
    assert known(pool) == ["10.0.0.1:7", "10.0.0.2:7"]


async def test_an_address_that_is_gone_is_asked_no_more_and_ends_what_it_began():
    """Its connection is closed once it has nothing to do and was gone for two look-ups."""
    cluster = Cluster("10.0.0.1", "10.0.0.2")
    pool = cluster.pool()
    await pool.refresh()
    leaving = pool.members[0]
    leaving.in_flight = 1
    cluster.hosts = ["10.0.0.2"]
    for _ in range(3):
        await cluster.later(pool)
        assert (known(pool), leaving.closed) == (["10.0.0.2:7"], False)
    leaving.in_flight = 0
    await cluster.later(pool)
    assert not leaving.closed
    await cluster.later(pool)
    assert leaving.closed


async def test_an_address_that_comes_back_is_the_one_it_was():
    """With its connection and its breaker."""
    cluster = Cluster("10.0.0.1", "10.0.0.2")
    pool = cluster.pool()
    await pool.refresh()
    first = pool.members[0]
    cluster.hosts = ["10.0.0.2"]
    await cluster.later(pool)
    cluster.hosts = ["10.0.0.1", "10.0.0.2"]
    await cluster.later(pool)
    assert pool.members[0] is first


async def test_while_a_name_cannot_be_looked_up_the_known_addresses_are_asked(caplog):
    """A cluster's DNS may be away; the log says so."""
    cluster = Cluster("10.0.0.1")
    pool = cluster.pool()
    await pool.refresh()
    cluster.hosts = []
    await cluster.later(pool)
    assert known(pool) == ["10.0.0.1:7"]
    assert "dns:sharers:7 stands for no address: sharers is not known" in caplog.text


async def test_a_name_that_stands_for_nothing_is_an_error_until_it_does():
    """Every call looks anew."""
    cluster = Cluster()
    pool = cluster.pool()
    for _ in range(2):
        with pytest.raises(UnavailableError, match="dns:sharers:7 stands for no address"):
            await pool.refresh()
    cluster.hosts = ["10.0.0.1"]
    await pool.refresh()
    assert known(pool) == ["10.0.0.1:7"]


async def test_who_comes_while_the_first_look_up_runs_waits_for_it():
    """A crowd causes one."""
    cluster = Cluster("10.0.0.1")
    pool = cluster.pool()
    await asyncio.gather(*(pool.refresh() for _ in range(10)))
    assert cluster.asked == 1


async def test_addresses_and_names_may_stand_together():
    """Addresses are there at once."""
    cluster = Cluster("10.0.0.2")
    pool = cluster.pool("10.0.0.1:9, dns:sharers:7")
    assert known(pool) == ["10.0.0.1:9"]
    await cluster.later(pool)
    assert known(pool) == ["10.0.0.1:9", "10.0.0.2:7"]


async def test_closing_closes_every_connection():
    """Of those that are gone too."""
    cluster = Cluster("10.0.0.1", "10.0.0.2")
    pool = cluster.pool()
    await pool.refresh()
    both = pool.members
    cluster.hosts = ["10.0.0.2"]
    await cluster.later(pool)
    await pool.close()
    assert [each.closed for each in both] == [True, True]


def test_rather_one_that_is_left_alone_than_nobody():
    """Of those that were not tried; a receiver asks nobody then."""
    pool = Pool(parse("a:1,b:1"), Member, least_busy)
    first, second = pool.members
    first.breaker.open("it is gone")
    assert pool.untried(b"", []) is second
    assert pool.untried(b"", [second]) is first
    assert pool.untried(b"", [second, first]) is None
    second.breaker.open("it is gone")
    assert pool.next(b"", []) is None


async def test_the_operating_system_knows_this_machine():
    """By its hosts file; addresses of version 6 have brackets."""
    assert "127.0.0.1:7" in await system_resolve("localhost", 7)
    assert await system_resolve("::1", 7) == ["[::1]:7"]


def test_what_is_written_is_read():
    """GRPC's own way to write a name too."""
    assert parse("a:1, [::1]:2,dns:b.c:3,dns:///d:4") == (Place("a:1"), Place("[::1]:2"), Name("b.c", 3), Name("d", 4))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("a", "no port"), ("", "no port"), ("dns:a", "no port"), ("a:65536", "no port up to 65535"), ("a:1,a:1", "twice")],
)
def test_what_cannot_be_is_refused_with_what_to_write(text, complaint):
    """Before anything is asked."""
    with pytest.raises(StartError, match=complaint):
        parse(text)


async def test_what_no_host_can_be_called_stands_for_no_address():
    """The look-up says so with an error of another kind."""
    with pytest.raises(UnavailableError, match=r"dns:a\.\.b:1 stands for no address"):
        await look_up(Name("a..b", 1), system_resolve)
