"""Redis as a store: what is taken from it, on a process and on a container of either release; and gates at its tap."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_bench import NONCE, launching
from where import WHERE, start, up

from chaosharness.ledger.reader import merge
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action, Gate, Point
from chaosharness.model.key import make_key
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Namespace, Scope, Signal
from chaosharness.ports.wire import CodecOptions
from chaosharness.relay.client import RelayClient
from chaosharness.servers.redis import Redis
from chaosharness.stores.redis import RedisStore

SERVER, STORE = Redis(), RedisStore()
KEYS = [make_key(NONCE, number) for number in range(4)]
AIMED, OTHER = KEYS[1], KEYS[2]
SOON_S = 10.0


def client_of(address: Address, namespace: Namespace) -> redis.Redis:
    """One connection, nothing tried twice."""
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=int(namespace.facts["db"]),
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
        socket_timeout=SOON_S,
    )


# what is taken from it


@pytest.fixture(scope="module", params=WHERE)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    instance = start(request, SERVER, tmp_path_factory.mktemp("run") / "redis-store")
    yield instance
    assert instance.stop(0).ok


@pytest.fixture
def server(one: Instance) -> Instance:
    return up(SERVER, one)


@pytest.fixture
def namespace(server: Instance) -> Namespace:
    return SERVER.lease(server, "test")


@pytest.fixture
def client(server: Instance, namespace: Namespace) -> Iterator[redis.Redis]:
    with client_of(server.nodes["redis"], namespace) as client:
        yield client


def test_a_wipe_takes_all_of_the_namespace_and_nothing_else(
    server: Instance, namespace: Namespace, client: redis.Redis
) -> None:
    neighbour = SERVER.lease(server, "another")
    with client_of(server.nodes["redis"], neighbour) as other:
        other.set("kept", "1")
        client.mset(dict.fromkeys(KEYS, "1"))
        evidence = STORE.wipe(server, namespace)
        assert (evidence.ok, evidence.facts) == (True, {"entries_before": 4, "entries_after": 0})
        assert (client.dbsize(), other.dbsize()) == (0, 1)


def test_a_wipe_of_nothing_is_none(server: Instance, namespace: Namespace) -> None:
    assert not STORE.wipe(server, namespace).ok


def test_what_names_the_key_and_ends_soon_enough_expires(
    server: Instance, namespace: Namespace, client: redis.Redis
) -> None:
    client.set(f"claim:{AIMED}", "me", ex=30)
    client.set(f"week:{AIMED}", "1", ex=7 * 24 * 3600)
    client.set(f"ever:{AIMED}", "1")
    client.set(f"claim:{OTHER}", "me", ex=30)
    client.hset("hash", AIMED, "1")
    client.sadd("set", f"order {AIMED}")
    client.zadd("zset", {AIMED: 1})
    client.sadd("lasting", AIMED)
    for entry in ("hash", "set", "zset"):
        client.expire(entry, 50)
    client.rpush("log", AIMED)
    evidence = STORE.expire(server, namespace, AIMED, 60)
    assert evidence.ok, evidence
    assert set(evidence.facts["expired"]) == {f"claim:{AIMED}", "hash", "set", "zset"}
    left = {name.decode() for name in client.scan_iter()}
    assert left == {f"week:{AIMED}", f"ever:{AIMED}", f"claim:{OTHER}", "lasting", "log"}


def test_what_lives_longer_does_not_expire(server: Instance, namespace: Namespace, client: redis.Redis) -> None:
    client.set(AIMED, "1", ex=120)
    evidence = STORE.expire(server, namespace, AIMED, 60)
    assert (evidence.ok, evidence.facts["expired"]) == (False, [])
    assert "of 1 entries that name" in evidence.what
    assert client.exists(AIMED)


def test_a_restart_in_good_order_keeps_what_was_recorded_and_closes_every_connection(
    server: Instance, namespace: Namespace, client: redis.Redis
) -> None:
    client.set(AIMED, "1", ex=120)
    assert server.signal(Signal.TERM, Scope.PARENT).ok
    wait_for("the store to end", SOON_S, lambda: not server.alive())
    assert server.restart(keep_data=True).ok
    SERVER.wait_ready(server)
    with pytest.raises(redis.ConnectionError):
        client.get(AIMED)
    assert client.get(AIMED) == b"1"  # on a new connection
    assert 0 < client.ttl(AIMED) <= 120


def test_a_restart_without_its_data_is_a_wipe(server: Instance, namespace: Namespace, client: redis.Redis) -> None:
    client.set(AIMED, "1")
    assert server.signal(Signal.KILL).ok
    assert server.restart(keep_data=False).ok
    SERVER.wait_ready(server)
    with client_of(server.nodes["redis"], namespace) as again:
        assert again.dbsize() == 0


def test_a_store_that_is_gone_is_the_harness_trouble(server: Instance, namespace: Namespace) -> None:
    assert server.signal(Signal.KILL).ok
    with pytest.raises(HarnessBroke, match="cannot wipe"):
        STORE.wipe(server, namespace)
    with pytest.raises(HarnessBroke, match="cannot let expire"):
        STORE.expire(server, namespace, AIMED, 60)


# gates at its tap


class Bench:
    """A store, a relay in front of it, and one tapped link."""

    def __init__(self, server: Instance, relay: RelayClient, folder: Path) -> None:
        self.server, self.relay, self.folder = server, relay, folder
        self.namespace = SERVER.lease(server, "test")
        relay.begin(folder, NONCE, [])
        link = LinkId("payment", 0, "store.dedup")
        self.tap = relay.tap(link, server.nodes["redis"], STORE.codec, CodecOptions("dedup"))

    def arm(self, point: Point) -> None:
        self.relay.arm(Gate("g", point, Action.HOLD, AIMED, "payment", "store.dedup"))

    def there(self, entry: str) -> bool:
        with client_of(self.server.nodes["redis"], self.namespace) as direct:
            return bool(direct.exists(entry))

    def events(self, *kinds: Kind) -> list[Event]:
        return list(merge(self.folder).of(*kinds))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with launching(tmp_path) as launcher:
        server = SERVER.start(launcher, tmp_path / "redis-store")
        relay = RelayClient.start(launcher, tmp_path)
        folder = tmp_path / "ledger"
        folder.mkdir()
        bench = Bench(server, relay, folder)
        yield bench
        relay.end()
        relay.close()
        assert relay.failures == []
        assert bench.events(Kind.UNPARSED, Kind.FOREIGN_KEY) == []


def held(bench: Bench, forward: bool) -> tuple[bool, list[object]]:
    """Records KEYS[0], then the aimed one, which is held; whether it was there while held, and what came of both."""
    came: list[object] = []

    def record() -> None:
        with client_of(bench.tap, bench.namespace) as client:
            for key in KEYS[:2]:
                try:
                    came.append(client.set(f"done:{key}", "1", nx=True, ex=60))
                except redis.ConnectionError as lost:
                    came.append(type(lost))

    service = threading.Thread(target=record)
    service.start()
    wait_for("the gate to hold", SOON_S, lambda: bench.events(Kind.GATE_HELD))
    there = bench.there(f"done:{AIMED}")
    assert bench.relay.release("g", forward)
    if not forward:
        bench.relay.sever(LinkId("payment", 0, "store.dedup"))
    service.join(SOON_S)
    assert not service.is_alive()
    return there, came


@pytest.mark.parametrize(("point", "recorded"), [(Point.RECORD, False), (Point.RECORDED, True)])
def test_a_record_is_held_before_it_goes_on_and_before_its_answer_comes_back(
    bench: Bench, point: Point, recorded: bool
) -> None:
    bench.arm(point)
    assert held(bench, forward=True) == (recorded, [True, True])
    assert bench.there(f"done:{AIMED}")
    told = [(event.kind, event.key) for event in bench.events(Kind.RECORD, Kind.RECORDED)]
    assert told == [(kind, key) for key in KEYS[:2] for kind in (Kind.RECORD, Kind.RECORDED)]


@pytest.mark.parametrize(("point", "recorded"), [(Point.RECORD, False), (Point.RECORDED, True)])
def test_what_is_thrown_away_is_said_and_the_client_is_left_not_knowing(
    bench: Bench, point: Point, recorded: bool
) -> None:
    bench.arm(point)
    assert held(bench, forward=False) == (recorded, [True, redis.ConnectionError])
    assert bench.there(f"done:{AIMED}") is recorded
    thrown_away = [event.kind for event in bench.events(*Kind) if event.data.get("discarded")]
    assert thrown_away == [Kind.RECORDED if recorded else Kind.RECORD]


def test_a_real_clients_talk_is_read(bench: Bench) -> None:
    """What redis-py says at a connection's start, in a pipeline, in a transaction, and in a script."""
    with client_of(bench.tap, bench.namespace) as client:
        with client.pipeline(transaction=True) as pipe:
            assert pipe.exists(AIMED).set(AIMED, "1").expire(AIMED, 60).execute() == [0, True, True]
        with client.pipeline(transaction=False) as pipe:
            assert pipe.get(AIMED).sadd("done", AIMED).sismember("done", OTHER).execute() == [b"1", 1, 0]
        release = client.register_script("return redis.call('DEL', KEYS[1])")
        assert release(keys=[AIMED]) == 1
        client.delete(f"x:{OTHER}")
    seen = bench.events(Kind.RECORD, Kind.LOOKUP, Kind.LOOKED_UP, Kind.FORGET, Kind.ADVICE)
    commands = [(event.kind.value, event.data.get("command"), event.data.get("ttl_s", "?")) for event in seen]
    assert commands[:6] == [
        ("lookup", "EXISTS", "?"), ("record", "SET", None), ("record", "EXPIRE", 60.0), ("looked_up", None, "?"),
        ("lookup", "GET", "?"), ("record", "SADD", "?"),
    ]  # fmt: skip
    assert ("record", "EVALSHA", "?") in commands
    assert commands[-1][:2] == ("forget", "DEL")
    assert [event.data["code"] for event in seen if event.kind is Kind.ADVICE] == ["script_on_store"]
    assert [event.data["found"] for event in seen if event.kind is Kind.LOOKED_UP] == [False, True, False]
