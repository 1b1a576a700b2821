"""RabbitMQ as a flow's broker, on a real one: declaring, producing, counting, reading what is left, and the reader.

On a process and on a container of either release.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pika
import pytest
from publishing import collect, outcomes
from rabbitmq_rig import NONCE, SOON_S, Relay, Rig, key, keys
from where import WHERE, launcher_of, start

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.brokers.rabbitmq_producer import RabbitMQProducer
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.flow import Source
from chaosharness.model.key import KeyFinder
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Namespace, Recipe, Scope, Signal
from chaosharness.ports.plugin import Completion, Held, Message, Outcome
from chaosharness.ports.wire import CodecOptions, Unit
from chaosharness.servers.rabbitmq import RabbitMQ
from chaosharness.taps.amqp import AmqpCodec

BROKER = RabbitMQBroker()
FIND = KeyFinder(NONCE).find


def source(**options: Any) -> Source:
    return Source("rabbitmq", "orders", options=options)


PLAIN = source()


@pytest.fixture(scope="module", params=WHERE)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server = RabbitMQ()
    instance = start(request, server, tmp_path_factory.mktemp("run") / "rabbitmq.0")
    yield Rig(launcher_of(request), server, instance)
    assert instance.stop(0).ok


@pytest.fixture
def namespace(rig: Rig) -> Iterator[Namespace]:
    with rig.lease() as namespace:
        yield namespace


@contextmanager
def channel(rig: Rig, namespace: Namespace) -> Iterator[Any]:
    connection = pika.BlockingConnection(pika.URLParameters(BROKER.connection_string(rig.amqp, namespace)))
    try:
        yield connection.channel()
    finally:
        connection.close()


@contextmanager
def producing(address: Address, namespace: Namespace, source: Source = PLAIN) -> Iterator[RabbitMQProducer]:
    producer = BROKER.producer(address, namespace, source)
    try:
        yield producer
    finally:
        producer.close()
    # nobody else's: a stub has a thread for each connection, a container some of its own
    assert [thread.name for thread in threading.enumerate() if thread.name == "rabbitmq-producer"] == []


def fill(rig: Rig, namespace: Namespace, source: Source, count: int) -> None:
    with producing(rig.amqp, namespace, source) as producer:
        for each in keys(count):
            producer.send(Message(each, b"{}"))
        assert set(outcomes(collect(producer, count)).values()) == {Outcome.OK}


def held(rig: Rig, namespace: Namespace, source: Source, expected: Held, seen_at: tuple[str, ...] = ()) -> None:
    def look() -> Held:
        return BROKER.held(rig.instance, namespace, source, seen_at)

    wait_for(str(expected), SOON_S, lambda: look() == expected, last_seen=look)


def test_a_declared_source_takes_what_is_published_to_its_exchange(rig: Rig, namespace: Namespace) -> None:
    routed = source(exchange="shop", routing_key="new", arguments={"x-max-length": 1000})
    BROKER.declare(rig.instance, namespace, routed)
    BROKER.declare(rig.instance, namespace, routed)
    fill(rig, namespace, routed, 3)
    held(rig, namespace, routed, Held(3, 0))
    with channel(rig, namespace) as own:
        _, properties, body = own.basic_get("orders")
        assert (properties.message_id, properties.delivery_mode, body) == (key(0), 2, b"{}")
        held(rig, namespace, routed, Held(2, 1))


def test_a_refused_declaration_is_bad_input_with_the_brokers_words(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    with pytest.raises(BadInput, match=r"406 PRECONDITION_FAILED .*x-max-length"):
        BROKER.declare(rig.instance, namespace, source(arguments={"x-max-length": 5}))
    with pytest.raises(BadInput, match="406"):
        BROKER.declare(
            rig.instance, namespace, Source("rabbitmq", "other", options={"arguments": {"x-queue-type": "?"}})
        )


def test_what_the_service_declares_is_left_to_it(rig: Rig, namespace: Namespace) -> None:
    theirs = Source("rabbitmq", "orders", declare=False)
    BROKER.declare(rig.instance, namespace, theirs)
    assert BROKER.held(rig.instance, namespace, theirs, ()) == Held(None, None)
    assert BROKER.yields(rig.instance, namespace, theirs, (), FIND) == {}


def test_a_broker_that_is_not_there_is_unknown_and_never_empty(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    wrong = Namespace(namespace.name, {**namespace.facts, "password": "wrong"})
    assert BROKER.held(rig.instance, wrong, PLAIN, ()) == Held(None, None)
    with pytest.raises(HarnessBroke):
        BROKER.declare(rig.instance, wrong, PLAIN)
    with pytest.raises(HarnessBroke, match=r"ACCESS_REFUSED|authentication"):
        BROKER.producer(rig.amqp, wrong, PLAIN)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = Address(*nobody.getsockname())
    with pytest.raises(HarnessBroke, match=str(address.port)):
        BROKER.producer(address, namespace, PLAIN)


def test_two_hundred_messages_with_ten_in_flight(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    done: list[Completion] = []
    with producing(rig.amqp, namespace) as producer:
        assert producer.completions(SOON_S) == []  # nothing is under way: nothing is waited for
        for number, each in enumerate(keys(200)):
            done += collect(producer, number - 9 - len(done))
            producer.send(Message(each, each.encode(), {"a": "b"}, {"content_type": "text/plain"}))
        done += collect(producer, 200 - len(done))
    assert sorted(done, key=lambda each: each.key) == [Completion(each, Outcome.OK) for each in keys(200)]
    held(rig, namespace, PLAIN, Held(200, 0))


def test_what_no_queue_takes_has_failed(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    with channel(rig, namespace) as own, producing(rig.amqp, namespace) as producer:
        own.queue_delete("orders")
        for each in keys(5):
            producer.send(Message(each, b"the same", properties={"timestamp": 1700000000}))
        refused = {Completion(each, Outcome.FAIL, "returned: NO_ROUTE") for each in keys(5)}
        assert set(collect(producer, 5)) == refused


def test_what_the_broker_nacks_has_failed(rig: Rig, namespace: Namespace) -> None:
    full = source(arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
    BROKER.declare(rig.instance, namespace, full)
    with producing(rig.amqp, namespace, full) as producer:
        done: list[Completion] = []
        for each in keys(4):
            producer.send(Message(each, b"{}"))
            done += collect(producer, 1)
    ends = (Outcome.OK, Outcome.OK, Outcome.FAIL, Outcome.FAIL)
    assert outcomes(done) == dict(zip(keys(4), ends, strict=True))


def test_a_message_that_cannot_be_encoded_has_failed_alone(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    with producing(rig.amqp, namespace) as producer:
        producer.send(Message(key(1), b"{}", properties={"no_such": 1}))
        producer.send(Message(key(2), b"{}", properties={"message_id": 17}))
        producer.send(Message(key(3), b"{}"))
        done = outcomes(collect(producer, 3))
    assert done == {key(1): Outcome.FAIL, key(2): Outcome.FAIL, key(3): Outcome.OK}


def test_a_lost_connection_leaves_doubt_and_the_next_send_connects_again(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    swallow = threading.Event()

    def pass_on(_: AmqpCodec, unit: Unit) -> list[Unit]:
        return [] if swallow.is_set() and unit.seen else [unit]

    with (
        Relay(rig.amqp, CodecOptions("orders"), pass_on) as relay,
        producing(relay.address, namespace) as producer,
    ):
        producer.send(Message(key(0), b"{}"))
        assert outcomes(collect(producer, 1)) == {key(0): Outcome.OK}
        swallow.set()
        producer.send(Message(key(1), b"{}"))
        producer.send(Message(key(5), b"{}"))
        assert producer.completions(0.05) == []
        relay.drop()
        lost = producer.completions(SOON_S)  # all of them at once
        assert [(each.key, each.outcome) for each in lost] == [(key(1), Outcome.INFO), (key(5), Outcome.INFO)]
        assert lost[0].detail.startswith("connection lost: ")
        swallow.clear()
        producer.send(Message(key(2), b"{}"))
        assert outcomes(collect(producer, 1)) == {key(2): Outcome.OK}
    assert BROKER.yields(rig.instance, namespace, PLAIN, (), FIND) == {"orders": (key(0), key(2))}


def test_what_is_in_flight_at_the_close_is_in_doubt(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    with Relay(
        rig.amqp, CodecOptions("orders"), lambda _, unit: [] if Kind.CONFIRM in kinds(unit) else [unit]
    ) as relay:
        with producing(relay.address, namespace) as producer:
            producer.send(Message(key(0), b"{}"))
            held(rig, namespace, PLAIN, Held(1, 0))
        assert [(each.key, each.outcome) for each in producer.completions(0)] == [(key(0), Outcome.INFO)]


def kinds(unit: Unit) -> set[Kind]:
    return {sighting.kind for sighting in unit.seen}


def test_what_is_left_is_read_and_stays(rig: Rig, namespace: Namespace) -> None:
    parking = source(dead_letter="orders.dead")
    BROKER.declare(rig.instance, namespace, parking)
    fill(rig, namespace, parking, 6)
    with channel(rig, namespace) as own:
        own.queue_declare("retry", durable=True)
        own.basic_publish("", "retry", key(9).encode())
        own.basic_publish("", "orders", b"nobody's")
        for number in range(3):
            method, _, _ = own.basic_get("orders")
            if number:
                own.basic_reject(method.delivery_tag, requeue=number == 2)
        held(rig, namespace, parking, Held(6, 1, 1), seen_at=("retry", "no such queue"))
    for _ in range(2):
        assert BROKER.yields(rig.instance, namespace, parking, ("retry", "no such queue"), FIND) == {
            "orders": (key(0), *keys(4, first=2)),
            "retry": (key(9),),
            "dead:orders.dead": (key(1),),
        }


def test_a_message_that_waits_for_its_retry_is_held(rig: Rig, namespace: Namespace) -> None:
    retried = source(arguments={"x-dead-letter-exchange": "retries", "x-dead-letter-routing-key": "later"})
    BROKER.declare(rig.instance, namespace, retried)
    fill(rig, namespace, retried, 1)
    with channel(rig, namespace) as own:
        own.exchange_declare("retries", "topic", durable=True)
        back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders", "x-message-ttl": 60_000}
        own.queue_declare("orders.retry", durable=True, arguments=back)
        own.queue_bind("orders.retry", "retries", "later.#")
        method, _, _ = own.basic_get("orders")
        own.basic_reject(method.delivery_tag, requeue=False)
        held(rig, namespace, retried, Held(1, 0))
    assert BROKER.yields(rig.instance, namespace, retried, (), FIND) == {"orders": (), "orders.retry": (key(0),)}


def test_what_a_consumer_had_is_ready_again_when_it_is_gone_and_says_so(rig: Rig, namespace: Namespace) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    fill(rig, namespace, PLAIN, 3)
    with channel(rig, namespace) as own:
        assert [own.basic_get("orders")[0].redelivered for _ in range(2)] == [False, False]
        held(rig, namespace, PLAIN, Held(1, 2))
    held(rig, namespace, PLAIN, Held(3, 0))
    with channel(rig, namespace) as own:
        again = [own.basic_get("orders") for _ in range(3)]
    assert [(method.redelivered, properties.message_id) for method, properties, _ in again] == [
        (True, key(0)),
        (True, key(1)),
        (False, key(2)),
    ]


@contextmanager
def stub() -> Iterator[tuple[Address, list[tuple[str | None, bytes]]]]:
    """An effect that keeps what is posted to it."""
    posted: list[tuple[str | None, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            posted.append((self.headers["X-Message-Id"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Address("127.0.0.1", server.server_port), posted
        finally:
            server.shutdown()
            thread.join(SOON_S)


def test_the_reader_posts_acknowledges_and_connects_again(rig: Rig, namespace: Namespace, tmp_path: Path) -> None:
    BROKER.declare(rig.instance, namespace, PLAIN)
    argv, env = BROKER.reader(PLAIN)
    with Relay(rig.amqp, CodecOptions("orders")) as relay, stub() as (effect, posted):
        values = {"broker": BROKER.connection_string(relay.address, namespace), "effect": f"http://{effect}"}
        filled = {name: text.format(**values) for name, text in env.items()}
        log = tmp_path / "reader.log"
        reader = rig.launcher.launch(
            Recipe(f"reader.{namespace.name}", argv, {"PATH": "/usr/bin", **filled}, tmp_path, log)
        )
        try:
            fill(rig, namespace, PLAIN, 60)
            wait_for("60 posts", SOON_S, lambda: len(posted) >= 60, last_seen=lambda: (len(posted), log.read_text()))
            held(rig, namespace, PLAIN, Held(0, 0))
            relay.drop()
            fill(rig, namespace, PLAIN, 3)
            wait_for("3 more", SOON_S, lambda: len(posted) >= 63, last_seen=lambda: (len(posted), log.read_text()))
            held(rig, namespace, PLAIN, Held(0, 0))
        finally:
            reader.signal(Signal.KILL, Scope.TREE)
    assert posted == [(each, b"{}") for each in (*keys(60), *keys(3))]
