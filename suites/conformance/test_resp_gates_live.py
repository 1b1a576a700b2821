"""What the relay's gates do to a Redis list at each point of a message's life, by redis-py and a real Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_bench import NONCE, launching

from chaosharness.brokers.redis_list import RedisListBroker
from chaosharness.ledger.reader import merge
from chaosharness.model.address import BROKER, Address, LinkId
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Source
from chaosharness.model.gate import Action, Gate, Point
from chaosharness.model.key import make_key
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Namespace, Signal
from chaosharness.relay.client import RelayClient
from chaosharness.servers.redis import Redis

SERVER = Redis()
SOURCE = Source("redis_list", "jobs")
KEYS = [make_key(NONCE, number) for number in range(10)]
AIMED = KEYS[4]


class Bench:
    """A Redis, a relay in front of it, and one tapped link."""

    def __init__(self, server: Instance, relay: RelayClient, folder: Path) -> None:
        self.server, self.relay, self.folder = server, relay, folder
        self.namespace: Namespace = SERVER.lease(server, "test")
        relay.begin(folder, NONCE, [])
        options = RedisListBroker().codec_options(SOURCE, producer_link=False)
        self.tap = relay.tap(LinkId("payment", 0, BROKER), server.nodes["redis"], "resp", options)

    def client(self, through: Address) -> redis.Redis:
        """One connection, nothing tried twice."""
        return redis.Redis(
            host=through.host,
            port=through.port,
            db=int(self.namespace.facts["db"]),
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
            socket_timeout=10,
        )

    def arm(self, point: Point, action: Action, *, unsettled: bool = False) -> None:
        self.relay.arm(Gate("g", point, action, AIMED, "payment", BROKER, unsettled=unsettled))

    def fill(self) -> None:
        with self.client(self.server.nodes["redis"]) as direct:
            direct.lpush("jobs", *KEYS)

    def items(self, name: str) -> list[str]:
        with self.client(self.server.nodes["redis"]) as direct:
            return [body.decode() for body in direct.lrange(name, 0, -1)]

    def events(self, *kinds: Kind) -> list[Event]:
        return list(merge(self.folder).of(*kinds))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with launching(tmp_path) as launcher:
        server = SERVER.start(launcher, tmp_path / "redis.0")
        relay = RelayClient.start(launcher, tmp_path)
        folder = tmp_path / "ledger"
        folder.mkdir()
        bench = Bench(server, relay, folder)
        yield bench
        relay.end()
        relay.close()
        assert relay.failures == []
        assert [e for e in merge(folder).events if e.kind in (Kind.UNPARSED, Kind.UNKEYED)] == []


def publish(bench: Bench) -> None:
    """One after the other, until the connection is gone at the aimed one."""
    with bench.client(bench.tap) as client:
        for key in KEYS[:4]:
            client.lpush("jobs", key)
        with pytest.raises(redis.ConnectionError):
            client.lpush("jobs", AIMED)


def consume(client: redis.Redis) -> list[str]:
    """Moves, remembers and removes, until nothing comes or the connection is gone."""
    done = []
    try:
        while (body := client.blmove("jobs", "mine", 0.05, "RIGHT", "LEFT")) is not None:
            done.append(body.decode())
            client.lrem("mine", 1, body)
    except redis.ConnectionError:
        pass
    return done


def test_a_lost_publish_is_not_in_the_list(bench: Bench) -> None:
    bench.arm(Point.PUBLISH, Action.CUT)
    publish(bench)
    assert bench.items("jobs") == KEYS[3::-1]


def test_a_lost_confirm_leaves_the_message_in_the_list(bench: Bench) -> None:
    bench.arm(Point.CONFIRM, Action.CUT)
    publish(bench)
    assert bench.items("jobs") == KEYS[4::-1]
    assert [event.key for event in bench.events(Kind.GATE_CUT)] == [AIMED]


def test_a_lost_transaction_leaves_nothing(bench: Bench) -> None:
    bench.arm(Point.PUBLISH, Action.CUT)
    with bench.client(bench.tap) as client, client.pipeline(transaction=True) as pipe:
        pipe.lpush("jobs", KEYS[3]).lpush("jobs", AIMED)
        with pytest.raises(redis.ConnectionError):
            pipe.execute()
    assert bench.items("jobs") == []


def test_a_lost_delivery_of_a_move_stays_in_the_processing_list(bench: Bench) -> None:
    bench.fill()
    bench.arm(Point.DELIVER, Action.CUT)
    with bench.client(bench.tap) as client:
        assert consume(client) == KEYS[:4]
    assert bench.items("mine") == [AIMED]
    assert bench.items("jobs") == KEYS[:4:-1]


def test_a_lost_delivery_of_a_pop_is_lost(bench: Bench) -> None:
    bench.fill()
    bench.arm(Point.DELIVER, Action.CUT)
    with bench.client(bench.tap) as client:
        for key in KEYS[:4]:
            assert client.brpop("jobs", 1)[1] == key.encode()
        with pytest.raises(redis.ConnectionError):
            client.brpop("jobs", 1)
    assert bench.items("jobs") == KEYS[:4:-1]


def test_a_lost_removal_leaves_the_message_in_the_processing_list(bench: Bench) -> None:
    bench.fill()
    bench.arm(Point.SETTLE, Action.CUT)
    with bench.client(bench.tap) as client:
        assert consume(client) == KEYS[:5]
    assert bench.items("mine") == [AIMED]


@pytest.mark.parametrize("point", [Point.DELIVER, Point.SETTLE])
def test_a_pop_has_no_window_for_what_is_unsettled(bench: Bench, point: Point) -> None:
    bench.fill()
    bench.arm(point, Action.HOLD, unsettled=point is Point.DELIVER)
    with bench.client(bench.tap) as client:
        assert [client.rpop("jobs") for _ in KEYS] == [key.encode() for key in KEYS]
    assert [event.data["why"] for event in bench.events(Kind.GATE_SKIPPED)] == ["settled_on_delivery"]


def test_a_redis_killed_while_the_delivery_is_held_still_has_the_message(bench: Bench) -> None:
    bench.fill()
    bench.arm(Point.DELIVER, Action.HOLD, unsettled=True)
    done: list[str] = []
    with bench.client(bench.tap) as client:
        consumer = threading.Thread(target=lambda: done.extend(consume(client)))
        consumer.start()
        wait_for("the gate to hold", 10, lambda: bench.events(Kind.GATE_HELD))
        assert bench.server.signal(Signal.KILL).ok
        assert bench.server.restart().ok
        SERVER.wait_ready(bench.server)
        consumer.join(10)
    assert done == KEYS[:4]
    assert bench.items("mine") == [AIMED]
    assert bench.items("jobs") == KEYS[:4:-1]
    (released,) = bench.events(Kind.GATE_RELEASED)
    assert (released.data["forwarded"], released.data["why"]) == (False, "connection gone")
