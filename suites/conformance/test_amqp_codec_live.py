"""The AMQP codec between pika and a real RabbitMQ: what it saw is what happened, and neither end noticed it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika
import pika.exceptions
import pytest
from publishing import collect
from rabbitmq_rig import SOON_S, Relay, Rig, as_it_is, key, keys
from where import VERSIONS_OF_THE_WIRE, launcher_of, start

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.model.event import Kind
from chaosharness.model.flow import Source
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Namespace
from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.ports.wire import CodecOptions, Unit
from chaosharness.servers.rabbitmq import RabbitMQ
from chaosharness.taps.amqp import AmqpCodec

SOURCE = Source("rabbitmq", "orders")
OPTIONS = CodecOptions("orders")


@pytest.fixture(scope="module", params=VERSIONS_OF_THE_WIRE)
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    server = RabbitMQ()
    instance = start(request, server, tmp_path_factory.mktemp("run") / "rabbitmq.0")
    yield Rig(launcher_of(request), server, instance)
    assert instance.stop(0).ok


@pytest.fixture
def namespace(rig: Rig) -> Iterator[Namespace]:
    with rig.lease() as namespace:
        RabbitMQBroker().declare(rig.instance, namespace, SOURCE)
        yield namespace


@pytest.fixture
def relay(rig: Rig) -> Iterator[Relay]:
    with Relay(rig.amqp, OPTIONS) as relay:
        yield relay


@contextmanager
def client(relay: Relay, namespace: Namespace) -> Iterator[Any]:
    """A channel of a pika connection through the relay."""
    facts = namespace.facts
    credentials = pika.PlainCredentials(facts["user"], facts["password"])
    connection = pika.BlockingConnection(
        pika.ConnectionParameters(relay.address.host, relay.address.port, facts["vhost"], credentials)
    )
    try:
        yield connection.channel()
    finally:
        connection.close()


def publish_all(relay: Relay, namespace: Namespace, messages: list[Message]) -> list[Completion]:
    producer = RabbitMQBroker().producer(relay.address, namespace, SOURCE)
    try:
        for message in messages:
            producer.send(message)
        return collect(producer, len(messages))
    finally:
        producer.close()


def test_two_hundred_messages_are_seen_at_every_step(relay: Relay, namespace: Namespace) -> None:
    done = publish_all(relay, namespace, [Message(each, b"{}") for each in keys(200)])
    assert {completion.outcome for completion in done} == {Outcome.OK}
    with client(relay, namespace) as channel:
        channel.basic_qos(prefetch_count=20)
        for method, _, _ in channel.consume("orders", inactivity_timeout=SOON_S):
            if method.delivery_tag % 7 == 0 or method.delivery_tag == 200:
                channel.basic_ack(method.delivery_tag, multiple=True)
            if method.delivery_tag == 200:
                break
        channel.cancel()
    assert tuple(relay.keys(Kind.PUBLISH)) == keys(200)
    assert tuple(sorted(relay.keys(Kind.CONFIRM))) == keys(200)
    assert tuple(relay.keys(Kind.DELIVER)) == keys(200)
    assert tuple(relay.keys(Kind.SETTLE)) == keys(200)
    assert [sighting.data["source"] for sighting in relay.of(Kind.SUBSCRIBED, Kind.UNSUBSCRIBED)] == [True, True]
    assert relay.of(Kind.SUBSCRIBE)[0].data["prefetch"] == 20
    assert relay.advice() == []
    assert relay.of(Kind.UNPARSED, Kind.UNKEYED, Kind.ASIDE) == []
    assert relay.sent == relay.received


def test_a_split_confirm_is_two_confirms_to_the_client(rig: Rig, namespace: Namespace) -> None:
    splits = []

    def split(codec: AmqpCodec, unit: Unit) -> list[Unit]:
        if unit.seen and unit.seen[0].kind is Kind.CONFIRM:
            before, rest = codec.split(unit, unit.seen[0].keys[-1])
            if before:
                splits.append(rest)
                return [before, rest]
        return [unit]

    def until_one_was_split() -> bool:
        """How many publishes RabbitMQ confirms with one frame is its own choice: a batch of one burst, as a rule."""
        with Relay(rig.amqp, OPTIONS, split) as relay:
            done = publish_all(relay, namespace, [Message(each, b"{}") for each in keys(300)])
        assert sorted((completion.key, completion.outcome) for completion in done) == [
            (k, Outcome.OK) for k in keys(300)
        ]
        assert tuple(sorted(relay.keys(Kind.CONFIRM))) == keys(300)
        return bool(splits)

    wait_for("a confirm of several publishes", SOON_S, until_one_was_split)


def test_a_returned_message_is_not_confirmed(relay: Relay, namespace: Namespace) -> None:
    with client(relay, namespace) as channel:
        channel.queue_delete("orders")
        channel.confirm_delivery()
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "orders", key(1).encode(), mandatory=True)
    (returned,) = relay.of(Kind.RETURNED)
    assert (returned.keys, returned.data) == ((key(1),), {"reason": "312 NO_ROUTE"})
    assert relay.of(Kind.CONFIRM) == []


def test_a_careless_client_is_advised(relay: Relay, namespace: Namespace) -> None:
    with client(relay, namespace) as channel:
        channel.basic_publish("", "orders", key(1).encode())
        got: list[bytes] = []
        channel.basic_consume("orders", lambda *args: got.append(args[3]), auto_ack=True)
        wait_for("the delivery", SOON_S, lambda: channel.connection.process_data_events(0.05) or got)
    assert relay.advice() == ["no_confirms", "transient", "not_mandatory", "auto_ack"]
    (delivered,) = relay.of(Kind.DELIVER)
    assert delivered.data == {"redelivered": False, "settled": True, "how": "push"}


def test_a_large_message_put_back_comes_again(relay: Relay, namespace: Namespace) -> None:
    body = key(5).encode() + b"." * 300_000
    with client(relay, namespace) as channel:
        channel.confirm_delivery()
        channel.basic_publish("", "orders", body, pika.BasicProperties(delivery_mode=2), mandatory=True)
        first, _, _ = channel.basic_get("orders")
        channel.basic_nack(first.delivery_tag, requeue=True)
        again, _, found = channel.basic_get("orders")
        assert found == body
        channel.basic_reject(again.delivery_tag, requeue=False)
        assert channel.basic_get("orders") == (None, None, None)
    assert [sighting.data for sighting in relay.of(Kind.DELIVER, Kind.SETTLE)] == [
        {"redelivered": False, "settled": False, "how": "get"},
        {"how": "nack", "requeue": True, "multiple": False},
        {"redelivered": True, "settled": False, "how": "get"},
        {"how": "reject", "requeue": False, "multiple": False},
    ]
    assert set(relay.keys(Kind.DELIVER) + relay.keys(Kind.SETTLE)) == {key(5)}


def test_a_channel_closed_by_the_broker_is_said_and_the_next_one_starts_anew(
    relay: Relay, namespace: Namespace
) -> None:
    with client(relay, namespace) as channel:
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            channel.queue_declare("missing", passive=True)
        fresh = channel.connection.channel()
        fresh.confirm_delivery()
        fresh.basic_publish("", "orders", key(1).encode(), mandatory=True)
    closed = relay.of(Kind.CLOSED)[0]
    assert (closed.data["scope"], closed.data["by"], closed.data["code"]) == ("channel", "server", 404)
    assert "missing" in closed.data["reason"]
    assert relay.keys(Kind.CONFIRM) == [key(1)]


def test_bindings_are_learned_and_other_queues_are_aside(relay: Relay, namespace: Namespace) -> None:
    with client(relay, namespace) as channel:
        channel.exchange_declare("shop", "topic")
        channel.queue_bind("orders", "shop", "order.*")
        channel.queue_declare("audit", durable=True)
        channel.basic_publish("shop", "order.created", key(1).encode())
        channel.basic_publish("shop", "invoice.created", key(2).encode())
        channel.basic_publish("", "audit", key(3).encode())
        wait_for("the message", SOON_S, lambda: channel.basic_get("audit", auto_ack=True)[0])
    assert relay.keys(Kind.PUBLISH) == [key(1)]
    assert [(sighting.keys, sighting.data["to"]) for sighting in relay.of(Kind.ASIDE)] == [
        ((key(2),), "shop/invoice.created"),
        ((key(3),), "/audit"),
        ((key(3),), "audit"),
    ]


def test_a_refused_login_is_said_without_the_password(rig: Rig, namespace: Namespace) -> None:
    facts = {**namespace.facts, "password": "a-wrong-secret"}
    with Relay(rig.amqp, OPTIONS, as_it_is) as relay:
        wrong = client(relay, Namespace(namespace.name, facts))
        with pytest.raises(pika.exceptions.ProbableAuthenticationError):
            wrong.__enter__()
        said = str(relay.seen)
    assert "ACCESS_REFUSED" in said
    assert "a-wrong-secret" not in said
