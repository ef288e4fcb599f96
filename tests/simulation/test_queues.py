"""Waiting times are those of queueing theory, where theory knows them."""

import numpy as np
import pytest
from simpy import Environment

from simulation.compute import Compute
from simulation.host import Host
from simulation.link import Link, Path

RATE, CUSTOMERS, REPLICATIONS = 0.7, 1500, 20
#: Of a replication's customers, those before the queue has settled.
SETTLES = 300


def services(random, kind):
    """Seconds of each customer's work, 1 in the mean."""
    return random.exponential(1.0, CUSTOMERS) if kind == "exponential" else np.ones(CUSTOMERS)


def times_in_system(serve, seed, kind):
    """How long each of Poisson's customers stays; ``serve(env)`` gives what does one's work."""
    random = np.random.default_rng(seed)
    env, found = Environment(), []
    work = serve(env)

    def customer(seconds):
        come_s = env.now
        yield from work(float(seconds))
        found.append(env.now - come_s)

    def arrive():
        for gap, seconds in zip(random.exponential(1 / RATE, CUSTOMERS), services(random, kind), strict=True):
            yield env.timeout(float(gap))
            env.process(customer(seconds))

    env.process(arrive())
    env.run()
    return found


def one_after_the_other(env):
    compute = Compute(env, Host(env), 1.0)

    def work(seconds):
        yield compute.take(seconds)

    return work


def evenly_shared(env):
    host = Host(env)
    return lambda seconds: host.work(seconds, 2.0)


def over_a_link(env):
    path = Path((Link(1000.0),))

    def work(seconds):
        yield path.send(env, round(1000 * seconds))

    return work


@pytest.mark.parametrize(
    ("serve", "kind", "expected"),
    [
        # Pollaczek and Khinchine: work, and rho / (1 - rho) times half of its second moment over its mean.
        pytest.param(one_after_the_other, "exponential", 1 + RATE / (1 - RATE), id="M/M/1"),
        pytest.param(one_after_the_other, "constant", 1 + RATE / (1 - RATE) / 2, id="M/D/1"),
        pytest.param(over_a_link, "constant", 1 + RATE / (1 - RATE) / 2, id="M/D/1, link"),
        # Processor sharing: 1 / (1 - rho), whatever the work's distribution.
        pytest.param(evenly_shared, "exponential", 1 / (1 - RATE), id="M/M/1, shared"),
        pytest.param(evenly_shared, "constant", 1 / (1 - RATE), id="M/D/1, shared"),
    ],
)
def test_the_mean_time_in_a_queue_is_that_of_the_closed_form(serve, kind, expected):
    """Within three standard errors of twenty replications, which are small enough to tell the forms apart."""
    means = [np.mean(times_in_system(serve, seed, kind)[SETTLES:]) for seed in range(REPLICATIONS)]
    error = np.std(means, ddof=1) / np.sqrt(REPLICATIONS)
    assert error < 0.06 * expected
    assert abs(np.mean(means) - expected) < 3 * error


def test_two_on_one_machine_slow_each_other_for_as_long_as_both_work():
    """At a slowdown of 1.5: the first second of each takes 1.5, what is left of the longer one its own time."""
    env = Environment()
    host, ended = Host(env), {}

    def work(name, seconds):
        yield from host.work(seconds, 1.5)
        ended[name] = env.now

    for name, seconds in (("short", 1.0), ("long", 2.0)):
        env.process(work(name, seconds))
    env.run()
    assert ended == pytest.approx({"short": 1.5, "long": 2.5})


def test_who_waits_for_a_core_is_not_at_work():
    """Two threads on one machine: by the clock each computes for longer than its work takes."""
    env = Environment()
    host = Host(env)
    threads = [Compute(env, host, 1.5) for _ in range(2)]
    for thread in threads:
        thread.take(1.0)
    env.run()
    assert [(each.busy_s, each.work_s) for each in threads] == [pytest.approx((1.5, 1.0))] * 2


def test_a_link_passes_a_message_on_while_it_comes():
    """Behind a slow link a fast one adds its delay and no time of its own."""
    env = Environment()
    slow, fast = Link(100.0, 0.25), Link(1000.0)
    env.run(until=Path((slow, fast)).send(env, 50))
    assert env.now == pytest.approx(0.75)
    assert (slow.nbytes, fast.nbytes) == (50, 50)
    assert slow.busy_s == pytest.approx(0.5)
