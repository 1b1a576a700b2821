"""A Redis list as a broker: what it offers a flow, and its producer, counts and reader against a real Redis.

On a process and on a container of either release.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis
from publishing import collect
from redis_bench import NONCE, Tap
from where import WHERE, start, up

from chaosharness.brokers.redis_list import ListProducer, RedisListBroker
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.flow import Source
from chaosharness.model.key import KeyFinder, make_key
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Namespace, Signal
from chaosharness.ports.plugin import Completion, Held, Message, Outcome
from chaosharness.servers.redis import Redis

BROKER = RedisListBroker()
SERVER = Redis()
SOURCE = Source("redis_list", "jobs")
FIND = KeyFinder(NONCE).find
KEYS = [make_key(NONCE, number) for number in range(20)]


# pure


def test_problems_name_their_key() -> None:
    assert BROKER.problems(SOURCE) == []
    assert BROKER.problems(Source("redis_list", "jobs", key="body:json:$.id")) == []
    wrong = Source("redis_list", "jobs", options={"exchange": "x"}, key="header:Id")
    first, second = BROKER.problems(wrong)
    assert first.startswith("exchange: ")
    assert second.startswith("key: ")


def test_connection_string_and_codec_options() -> None:
    assert BROKER.connection_string(Address("127.0.0.1", 7), Namespace("db3", {"db": "3"})) == "redis://127.0.0.1:7/3"
    options = BROKER.codec_options(Source("redis_list", "jobs", key="body:json:$.id"), producer_link=True)
    assert (options.source, options.place, options.producer_link) == ("jobs", "body:json:$.id", True)


# against a real Redis


@pytest.fixture(scope="module", params=WHERE)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """For a module's tests; each leases a database of its own."""
    instance = start(request, SERVER, tmp_path_factory.mktemp("run") / "redis.0")
    yield instance
    assert instance.stop(0).ok


@pytest.fixture
def instance(one: Instance) -> Instance:
    return up(SERVER, one)


@pytest.fixture
def namespace(instance: Instance) -> Namespace:
    return SERVER.lease(instance, "test")


@pytest.fixture
def client(instance: Instance, namespace: Namespace) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(BROKER.connection_string(instance.nodes["redis"], namespace)) as client:
        yield client


@pytest.fixture
def producer(instance: Instance, namespace: Namespace) -> Iterator[ListProducer]:
    producer = BROKER.producer(instance.nodes["redis"], namespace, SOURCE)
    yield producer
    producer.close()


def test_each_publish_completes_once(producer: ListProducer, client: redis.Redis) -> None:
    for key in KEYS:
        producer.send(Message(key, key.encode()))
    assert collect(producer, len(KEYS)) == [Completion(key, Outcome.OK, told=True) for key in KEYS]
    assert client.lrange("jobs", 0, -1) == [key.encode() for key in reversed(KEYS)]
    assert producer.completions(0.01) == []


def test_a_refusal_is_a_failure_and_the_connection_goes_on(producer: ListProducer, client: redis.Redis) -> None:
    client.set("jobs", "no list")
    producer.send(Message(KEYS[0], b"x"))
    (refused,) = collect(producer, 1)
    assert (refused.outcome, "WRONGTYPE" in refused.detail) == (Outcome.FAIL, True)
    client.delete("jobs")
    producer.send(Message(KEYS[1], b"x"))
    assert [c.outcome for c in collect(producer, 1)] == [Outcome.OK]


def test_a_lost_connection_leaves_it_open_whether_it_happened(instance: Instance, producer: ListProducer) -> None:
    producer.send(Message(KEYS[0], b"x"))
    assert [c.outcome for c in collect(producer, 1)] == [Outcome.OK]
    assert instance.signal(Signal.FREEZE).ok
    for key in KEYS[1:4]:
        producer.send(Message(key, b"x"))
    assert producer.completions(0.05) == []
    assert instance.signal(Signal.KILL).ok
    lost = collect(producer, 3)
    assert [(c.key, c.outcome) for c in lost] == [(key, Outcome.INFO) for key in KEYS[1:4]]
    producer.send(Message(KEYS[4], b"x"))
    (not_sent,) = collect(producer, 1)
    assert (not_sent.outcome, not_sent.detail.startswith("not sent")) == (Outcome.FAIL, True)
    assert instance.restart().ok
    SERVER.wait_ready(instance)
    producer.send(Message(KEYS[5], b"x"))
    assert [c.outcome for c in collect(producer, 1)] == [Outcome.OK]


def test_a_key_of_another_type_cannot_be_declared(
    instance: Instance, namespace: Namespace, client: redis.Redis
) -> None:
    BROKER.declare(instance, namespace, SOURCE)
    client.lpush("jobs", "x")
    BROKER.declare(instance, namespace, SOURCE)
    client.delete("jobs")
    client.xadd("jobs", {"a": "b"})
    with pytest.raises(BadInput, match="is a stream"):
        BROKER.declare(instance, namespace, SOURCE)


def test_counts_and_what_is_left(instance: Instance, namespace: Namespace, client: redis.Redis) -> None:
    seen_at = ["mine", "jobs", "mine", "never"]
    assert BROKER.held(instance, namespace, SOURCE, seen_at) == Held(0, 0)
    client.rpush("jobs", *KEYS[:3], "without a key")
    client.lmove("jobs", "mine", "LEFT", "RIGHT")
    assert BROKER.held(instance, namespace, SOURCE, seen_at) == Held(3, 1)
    left = BROKER.yields(instance, namespace, SOURCE, seen_at, FIND)
    assert left == {"jobs": KEYS[1:3], "mine": KEYS[:1], "never": []}


def test_what_cannot_be_counted_is_unknown(instance: Instance, namespace: Namespace, client: redis.Redis) -> None:
    client.set("mine", "no list")
    assert BROKER.held(instance, namespace, SOURCE, ["mine"]) == Held(None, None)
    assert instance.signal(Signal.KILL).ok
    assert BROKER.held(instance, namespace, SOURCE, []) == Held(None, None)
    with pytest.raises(HarnessBroke, match="cannot read what is left"):
        BROKER.yields(instance, namespace, SOURCE, [], FIND)
    with pytest.raises(HarnessBroke, match="cannot ask for the type"):
        BROKER.declare(instance, namespace, SOURCE)


# the reader


class Arrivals(ThreadingHTTPServer):
    """Remembers what is posted; answers 500 to the first `refusing` posts."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Arrival)
        self.arrived: list[tuple[str, str]] = []
        self.refusing = 0


class _Arrival(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Arrivals)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refused, server.refusing = server.refusing > 0, max(0, server.refusing - 1)
        if not refused:
            server.arrived.append((self.path, body.decode()))
        self.send_response(500 if refused else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def effect() -> Iterator[Arrivals]:
    with Arrivals() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def tap(instance: Instance) -> Iterator[Tap]:
    with Tap(instance.nodes["redis"], "jobs") as tap:
        yield tap


@pytest.fixture
def reader(tap: Tap, namespace: Namespace, effect: Arrivals, client: redis.Redis) -> Iterator[None]:
    client.rpush("jobs:reader", KEYS[0])  # what an earlier incarnation had in its hands
    argv, templates = BROKER.reader(SOURCE)
    names = {
        "{broker}": BROKER.connection_string(Address("127.0.0.1", tap.port), namespace),
        "{effect}": f"http://127.0.0.1:{effect.server_port}",
    }
    env = {name: names.get(value, value) for name, value in templates.items()}
    with subprocess.Popen(argv, env={"PATH": os.environ["PATH"], **env}, stdout=subprocess.DEVNULL) as process:
        yield
        process.kill()


@pytest.mark.usefixtures("reader")
def test_the_reader_reports_each_arrival_and_loses_none(
    instance: Instance, namespace: Namespace, client: redis.Redis, effect: Arrivals, tap: Tap
) -> None:
    wait_for("the message of before", 10, lambda: effect.arrived)
    effect.refusing = 1
    client.lpush("jobs", KEYS[1])
    wait_for("the refused message", 10, lambda: len(effect.arrived) >= 2)
    wait_for("the last removal", 10, lambda: BROKER.held(instance, namespace, SOURCE, ["jobs:reader"]).empty)
    assert instance.signal(Signal.KILL).ok
    assert instance.restart().ok
    SERVER.wait_ready(instance)
    client.lpush("jobs", KEYS[2])
    wait_for("the message after the kill", 10, lambda: len(effect.arrived) >= 3)
    wait_for("the last removal", 10, lambda: BROKER.held(instance, namespace, SOURCE, ["jobs:reader"]).empty)
    assert effect.arrived == [("/arrived", key) for key in KEYS[:3]]
    assert {key for sighting in tap.await_seen(Kind.SETTLE, 3) for key in sighting.keys} == set(KEYS[:3])
    assert tap.of(Kind.SUBSCRIBED)[0].data["consumer"] == "BLMOVE"
