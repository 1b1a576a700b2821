"""The RESP codec between redis-py and a real Redis: every byte passes, and what the client did is what was seen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import redis
from redis_bench import NONCE, Tap
from where import VERSIONS_OF_THE_WIRE, start

from chaosharness.model.event import Kind
from chaosharness.model.key import make_key
from chaosharness.ports.launch import Instance
from chaosharness.servers.redis import Redis

SERVER = Redis()
KEYS = [make_key(NONCE, number) for number in range(40)]


@pytest.fixture(scope="module", params=VERSIONS_OF_THE_WIRE)
def instance(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    instance = start(request, SERVER, tmp_path_factory.mktemp("run") / "redis.0")
    yield instance
    assert instance.stop(0).ok


@pytest.fixture
def tap(instance: Instance) -> Iterator[Tap]:
    with Tap(instance.nodes["redis"], "jobs") as tap:
        yield tap
        assert tap.of(Kind.UNPARSED, Kind.UNKEYED, Kind.FOREIGN_KEY) == []
        assert tap.passed == tap.fed > 0


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def client(request: pytest.FixtureRequest, instance: Instance, tap: Tap) -> Iterator[redis.Redis]:
    namespace = SERVER.lease(instance, "test")
    with redis.Redis(
        port=tap.port, db=int(namespace.facts["db"]), protocol=request.param, single_connection_client=True
    ) as client:
        yield client
    SERVER.release(instance, namespace)


def keys(tap: Tap, kind: Kind) -> list[str]:
    return [key for sighting in tap.of(kind) for key in sighting.keys]


def test_move_and_remove(client: redis.Redis, tap: Tap) -> None:
    for key in KEYS:
        client.lpush("jobs", f'{{"id": "{key}"}}')
    while (body := client.blmove("jobs", "mine", 0.01, "RIGHT", "LEFT")) is not None:
        client.lrem("mine", 1, body)
    for kind in (Kind.PUBLISH, Kind.CONFIRM, Kind.DELIVER, Kind.SETTLE):
        assert keys(tap, kind) == KEYS
    assert all(s.data["ok"] for s in tap.of(Kind.CONFIRM))
    assert all(s.data["place"] == "mine" and not s.data["settled"] for s in tap.of(Kind.DELIVER))
    assert [s.data for s in tap.of(Kind.SUBSCRIBE)] == [{"consumer": "BLMOVE", "source": True, "auto_ack": False}]
    assert len(tap.of(Kind.SUBSCRIBED)) == 1
    assert tap.of(Kind.ADVICE) == []


@pytest.mark.parametrize("transaction", [True, False], ids=["MULTI", "pipeline"])
def test_pipelines_and_transactions(client: redis.Redis, tap: Tap, transaction: bool) -> None:
    with client.pipeline(transaction=transaction) as pipe:
        for key in KEYS:
            pipe.set("x", key).rpush("jobs", key).get("x").hset("h", "f", "v").hgetall("h").lpush("other", key)
        pipe.execute()
    with client.pipeline(transaction=transaction) as pipe:
        for _ in KEYS:
            pipe.lpop("jobs").lrange("other", 0, -1)
        pipe.brpop("jobs", 0.01)
        pipe.execute()
    for kind in (Kind.PUBLISH, Kind.CONFIRM, Kind.DELIVER, Kind.ASIDE):
        assert keys(tap, kind) == KEYS
    assert [s.data["code"] for s in tap.of(Kind.ADVICE)] == ["auto_ack"]


def test_every_way_to_take(client: redis.Redis, tap: Tap) -> None:
    client.rpush("jobs", *KEYS[:12])
    client.lpop("jobs")
    client.lpop("jobs", 2)
    client.blpop("jobs", 1)
    client.blpop(["none", "jobs"], 1)
    client.lmpop(2, "none", "jobs", direction="LEFT", count=2)
    client.blmpop(1, 1, "jobs", direction="LEFT", count=1)
    client.lmove("jobs", "mine", "LEFT", "RIGHT")
    client.blmove("jobs", "mine", 1, "LEFT", "RIGHT")
    client.rpoplpush("jobs", "mine")
    client.brpoplpush("jobs", "mine", 1)
    assert keys(tap, Kind.PUBLISH) == keys(tap, Kind.CONFIRM) == KEYS[:12]
    assert keys(tap, Kind.DELIVER) == [*KEYS[:10], KEYS[11], KEYS[10]]
    assert [s.data["settled"] for s in tap.of(Kind.DELIVER)] == [True] * 8 + [False] * 4
    # The list is now 10 11 8 9, as RPOPLPUSH puts at the head.
    client.ltrim("mine", 0, -2)
    client.lpop("mine")
    client.delete("mine")
    assert keys(tap, Kind.SETTLE) == [KEYS[9], KEYS[10], KEYS[11], KEYS[8]]


def test_a_reaper_takes_back(client: redis.Redis, tap: Tap) -> None:
    client.rpush("jobs", KEYS[0])
    client.lmove("jobs", "mine", "LEFT", "RIGHT")
    client.connection_pool.disconnect()
    assert client.connection is not None
    client.connection.disconnect()
    client.lmove("mine", "jobs", "LEFT", "RIGHT")
    client.lmove("jobs", "mine", "LEFT", "RIGHT")
    assert keys(tap, Kind.RECLAIM) == KEYS[:1]
    assert [s.data["redelivered"] for s in tap.of(Kind.DELIVER)] == [False, True]


def test_a_refused_push_is_not_confirmed(client: redis.Redis, tap: Tap) -> None:
    client.set("jobs", "no list")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("jobs", KEYS[0])
    with pytest.raises(redis.ResponseError), client.pipeline(transaction=True) as pipe:
        pipe.lpush("jobs", KEYS[1]).execute()
    with client.pipeline(transaction=True) as pipe:
        pipe.watch("jobs")
        client_2 = redis.Redis(port=tap.port, db=client.get_connection_kwargs()["db"])
        with client_2:
            client_2.set("jobs", "changed")
        pipe.multi()
        pipe.lpush("jobs", KEYS[2])
        with pytest.raises(redis.WatchError):
            pipe.execute()
    assert keys(tap, Kind.CONFIRM) == KEYS[:3]
    assert not any(s.data["ok"] for s in tap.of(Kind.CONFIRM))


def test_messages_of_a_channel_do_not_confirm(client: redis.Redis, tap: Tap) -> None:
    with client.pubsub() as pubsub:
        pubsub.subscribe("a", "b")
        pubsub.psubscribe("c*")
        for _ in range(3):
            assert pubsub.get_message(timeout=5)
        client.publish("a", KEYS[0])
        client.publish("cc", KEYS[0])
        for _ in range(2):
            assert pubsub.get_message(timeout=5)
        pubsub.ping()
        assert pubsub.get_message(timeout=5)
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        for _ in range(3):
            assert pubsub.get_message(timeout=5)
        client.lpush("jobs", KEYS[1])
    assert keys(tap, Kind.CONFIRM) == [KEYS[1]]


def test_a_blocking_reply_comes_when_it_comes(client: redis.Redis, tap: Tap) -> None:
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(client.brpop("jobs", 10)))
    thread.start()
    tap.await_seen(Kind.SUBSCRIBED, 1)
    with redis.Redis(port=tap.port, db=client.get_connection_kwargs()["db"]) as other:
        other.lpush("jobs", KEYS[0])
    thread.join(10)
    assert taken == [(b"jobs", KEYS[0].encode())] or taken == [[b"jobs", KEYS[0].encode()]]
    assert keys(tap, Kind.DELIVER) == KEYS[:1]


def test_a_big_payload(client: redis.Redis, tap: Tap) -> None:
    body = bytes(range(256)) * 8192 + KEYS[0].encode()
    client.lpush("jobs", body)
    assert client.rpop("jobs") == body
    assert keys(tap, Kind.PUBLISH) == keys(tap, Kind.DELIVER) == KEYS[:1]
