"""What RabbitMQ says of a flow before anything runs: problems, options; and where dead letters go."""

from __future__ import annotations

from typing import Any

import pika
import pytest

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.brokers.rabbitmq_producer import make_properties
from chaosharness.brokers.rabbitmq_queues import Queues
from chaosharness.model.address import Address
from chaosharness.model.flow import Source
from chaosharness.ports.launch import Namespace
from chaosharness.ports.plugin import Message

BROKER = RabbitMQBroker()
SOURCE = Source("rabbitmq", "orders")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"argumens": {}}, "argumens: not an option of a rabbitmq source; did you mean"),
        ({"exchange": ""}, "exchange: expected a name"),
        ({"exchange": 3}, "exchange: expected a name"),
        ({"exchange": "amq.topic"}, "exchange: names that begin with amq."),
        ({"routing_key": "x"}, "routing_key: of no use without exchange"),
        ({"exchange": "e", "routing_key": 1}, "routing_key: expected a string"),
        ({"dead_letter": "d" * 256}, "dead_letter: expected a name of at most 255 bytes"),
        ({"dead_letter": "orders"}, "dead_letter: expected another queue"),
        ({"arguments": []}, "arguments: expected a table"),
        ({"arguments": {"x-max-length": None}}, "arguments.x-max-length: expected"),
        (
            {"arguments": {"x-dead-letter-exchange": ""}, "dead_letter": "d"},
            "arguments.x-dead-letter-exchange: dead_letter",
        ),
    ],
)
def test_each_problem_names_its_key(options: dict[str, Any], says: str) -> None:
    (problem,) = BROKER.problems(Source("rabbitmq", "orders", options=options))
    assert problem.startswith(says)


def test_a_source_without_problems_has_none() -> None:
    options = {"arguments": {"x-queue-type": "quorum", "x-a": [1, {"b": 2.5}]}, "exchange": "shop", "routing_key": ""}
    assert BROKER.problems(Source("rabbitmq", "orders", options=options | {"dead_letter": "dead"})) == ()
    assert BROKER.problems(Source("rabbitmq", "orders", key="header:X-Order")) == ()


def test_problems_of_the_source_itself() -> None:
    (name,) = BROKER.problems(Source("rabbitmq", "amq.orders"))
    (place,) = BROKER.problems(Source("rabbitmq", "orders", key="query:id"))
    (useless,) = BROKER.problems(
        Source("rabbitmq", "orders", declare=False, options={"arguments": {"x-max-length": 1}})
    )
    assert (name[:9], place[:4], useless[:10]) == ("rabbitmq:", "key:", "arguments:")


def test_codec_options_carry_the_way_to_the_queue() -> None:
    declared = Source("rabbitmq", "orders", options={"exchange": "shop"}, key="header:X")
    found = BROKER.codec_options(declared, producer_link=True)
    assert (found.source, found.facts, found.place, found.producer_link) == (
        "orders",
        {"exchange": "shop", "routing_key": "orders"},
        "header:X",
        True,
    )
    theirs = Source("rabbitmq", "orders", declare=False, options={"exchange": "shop", "routing_key": "new"})
    assert BROKER.codec_options(theirs, False).facts == {"exchange": "shop"}
    assert BROKER.codec_options(SOURCE, False).facts == {}


def test_a_connection_string_is_quoted() -> None:
    namespace = Namespace("a/b", {"user": "u@x", "password": "p/w:", "vhost": "a/b"})
    text = BROKER.connection_string(Address("127.0.0.1", 5672), namespace)
    assert text == "amqp://u%40x:p%2Fw%3A@127.0.0.1:5672/a%2Fb"
    assert pika.URLParameters(text).virtual_host == "a/b"


def test_a_messages_own_properties_come_first() -> None:
    plain = make_properties(Message("kabcd-000001", b"{}", {"a": "1"}))
    assert (plain.message_id, plain.delivery_mode, plain.headers) == ("kabcd-000001", 2, {"a": "1"})
    own = make_properties(
        Message("kabcd-000001", b"{}", {"a": "1"}, {"message_id": "mine", "delivery_mode": 1, "headers": {"a": "2"}})
    )
    assert (own.message_id, own.delivery_mode, own.headers) == ("mine", 1, {"a": "2"})


def queue(name: str, exchange: str | None = None, key: str | None = None, ready: int | None = 0) -> dict[str, Any]:
    arguments = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": key}
    return {
        "name": name,
        "messages_ready": ready,
        "arguments": {argument: value for argument, value in arguments.items() if value is not None},
    }


def binding(source: str, destination: str, key: str) -> dict[str, str]:
    return {"source": source, "destination": destination, "destination_type": "queue", "routing_key": key}


def queues(*all_: dict[str, Any], bindings: tuple[dict[str, str], ...] = (), **types: str) -> Queues:
    return Queues({each["name"]: each for each in all_}, bindings, types)


def test_dead_letters_are_followed_through_queues_and_exchanges_and_back() -> None:
    look = queues(
        queue("orders", "retries"),
        queue("retry", "", "orders"),
        queue("audit"),
        queue("aside", "", "nowhere"),
        bindings=(binding("retries", "retry", "orders"), binding("retries", "audit", "other")),
        retries="direct",
    )
    assert look.reach("orders", "orders") == ["orders", "retry"]
    assert look.reach("aside", "aside") == ["aside"]
    assert look.reach("gone", "gone") == []


def test_a_queue_that_dead_letters_to_the_source_may_hold_its_messages() -> None:
    look = queues(queue("orders"), queue("later", "", "orders"), queue("audit"), queue("even later", "", "later"))
    assert look.holding("orders", "orders") == ["orders", "later", "even later"]


def test_a_policy_dead_letters_too() -> None:
    by_policy = {"name": "orders", "arguments": {}, "effective_policy_definition": {"dead-letter-exchange": "dlx"}}
    look = queues(by_policy, queue("dead"), bindings=(binding("dlx", "dead", ""),), dlx="fanout")
    assert look.reach("orders", "orders") == ["orders", "dead"]


def test_a_queue_that_does_not_say_makes_the_count_unknown() -> None:
    look = queues(queue("a", ready=2), queue("b", ready=3), queue("c", ready=None))
    assert look.count(["a", "b"], "messages_ready") == 5
    assert look.count(["a", "c"], "messages_ready") is None
