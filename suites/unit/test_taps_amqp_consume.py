"""The AMQP codec: keys, subscriptions, deliveries and acks."""

from __future__ import annotations

from typing import Any

import pytest
from taps_amqp_talk import Basic, Channel, Confirm, Queue, Wire, brief, content, deliver, f, key, only, publish

from chaosharness.model.event import Kind

# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "properties",
    [
        {"message_id": key(1)},
        {"correlation_id": key(1)},
        {"headers": {"x-order": key(1)}},
        {"headers": {"outer": {"inner": key(1)}}},
        {"correlation_id": key(1), "reply_to": "r" * 50},  # the length byte behind the key is the digit 2
        {"headers": {"x": (key(1) + " " + "." * 80)[:0x61]}},  # the length byte before it is the letter a
    ],
)
def test_a_key_is_found_anywhere_in_properties_and_headers(properties: dict[str, Any]) -> None:
    assert Wire().client(f(Confirm.Select()), publish("-", **properties))[0].keys == (key(1),)


def test_a_declared_place_is_the_only_place() -> None:
    for place in ("header:X-Order", "property:message_id", "body:json:$.order.id"):
        wire = Wire(place=place)
        here: dict[str, dict[str, Any]] = {
            "header:X-Order": {"headers": {"x-order": key(1)}},
            "property:message_id": {"message_id": key(1)},
        }
        text = '{"order": {"id": "kabcd-000001"}, "x": "kabcd-000002"}' if place.startswith("body") else key(2)
        found = wire.client(f(Confirm.Select()), publish(text, **here.get(place, {})))
        assert brief(found) == [("publish", (key(1),))]
        assert only(wire.client(publish("{}", content_type=key(3))), Kind.UNKEYED).data == {
            "what": "publish",
            "place": "/orders",
        }


def test_messages_of_the_source_without_a_key_and_with_a_foreign_one_are_said() -> None:
    wire = Wire(others=("kwxyz",))
    wire.consume()
    assert only(wire.client(publish("no key")), Kind.UNKEYED).data == {"what": "publish", "place": "/orders"}
    assert only(wire.server(deliver("no key", 1)), Kind.UNKEYED).data == {"what": "deliver", "place": "orders"}
    assert only(wire.server(deliver("kwxyz-000003", 2)), Kind.FOREIGN_KEY).data == {"found": "kwxyz-000003"}
    assert wire.client(publish("no key", "elsewhere")) == []


# -- consumers --------------------------------------------------------------------------------------------------------


def test_subscriptions_with_empty_tags_are_paired_in_order() -> None:
    wire = Wire()
    asked = wire.client(f(Basic.Consume(queue="audit")), f(Basic.Consume(queue="orders")))
    assert [(s.kind, s.data.get("source")) for s in asked] == [
        (Kind.SUBSCRIBE, False),
        (Kind.SUBSCRIBE, True),
        (Kind.ADVICE, None),
    ]
    answered = wire.server(f(Basic.ConsumeOk("amq.ctag-1")), f(Basic.ConsumeOk("amq.ctag-2")))
    assert [s.data for s in answered] == [
        {"consumer": "amq.ctag-1", "source": False},
        {"consumer": "amq.ctag-2", "source": True},
    ]
    assert only(wire.server(deliver(key(1), 1, "amq.ctag-1")), Kind.ASIDE).data == {"what": "deliver", "to": "audit"}
    assert only(wire.server(deliver(key(2), 2, "amq.ctag-2")), Kind.DELIVER).keys == (key(2),)


def test_a_consume_without_wait_counts_at_once() -> None:
    wire = Wire()
    seen_ = wire.client(f(Basic.Consume(queue="orders", consumer_tag="c", no_ack=True, nowait=True)))
    assert [s.kind for s in seen_] == [Kind.SUBSCRIBE, Kind.ADVICE, Kind.SUBSCRIBED]
    assert seen_[0].data == {"consumer": "c", "source": True, "auto_ack": True, "prefetch": None}
    assert seen_[1].data["code"] == "auto_ack"
    assert only(wire.server(deliver(key(1), 1)), Kind.DELIVER).data == {
        "redelivered": False,
        "settled": True,
        "how": "push",
    }
    assert wire.client(f(Basic.Ack(1))) == []


def test_an_empty_queue_name_is_the_last_declared_one() -> None:
    wire = Wire()
    wire.client(f(Queue.Declare(queue="audit")), f(Queue.Declare(queue="orders")), f(Basic.Qos(prefetch_count=5)))
    wire.server(f(Queue.DeclareOk("audit", 0, 0)))  # a late answer changes nothing
    assert wire.client(f(Basic.Consume(queue="")))[0].data == {
        "consumer": "",
        "source": True,
        "auto_ack": False,
        "prefetch": 5,
    }
    wire.client(f(Queue.Declare(queue="")))
    wire.server(f(Queue.DeclareOk("amq.gen-x", 0, 0)))
    assert wire.client(f(Basic.Consume(queue="")))[0].data["source"] is False


@pytest.mark.parametrize("prefetch", [None, 0, 3])
def test_an_unlimited_prefetch_is_advised_against(prefetch: int | None) -> None:
    wire = Wire()
    if prefetch is not None:
        wire.client(f(Basic.Qos(prefetch_count=prefetch)))
    codes = [s.data["code"] for s in wire.client(f(Basic.Consume(queue="orders"))) if s.kind is Kind.ADVICE]
    assert codes == ([] if prefetch else ["unlimited_prefetch"])


def test_a_consumer_ends_with_cancel_ok_or_when_the_server_says_so() -> None:
    wire = Wire()
    wire.consume("a")
    wire.consume("b")
    assert wire.client(f(Basic.Cancel("a"))) == []
    assert only(wire.server(deliver(key(1), 1, "a")), Kind.DELIVER).keys == (key(1),)
    assert only(wire.server(f(Basic.CancelOk("a"))), Kind.UNSUBSCRIBED).data == {"consumer": "a", "source": True}
    assert only(wire.server(f(Basic.Cancel("b", True))), Kind.UNSUBSCRIBED).data == {"consumer": "b", "source": True}
    wire.consume("c")
    assert only(wire.client(f(Basic.Cancel("c", True))), Kind.UNSUBSCRIBED).data["consumer"] == "c"


def test_acks_settle_what_their_tag_covers() -> None:
    wire = Wire()
    wire.consume()
    wire.server(*(deliver(key(n), n) for n in range(1, 9)))
    acked = only(wire.client(f(Basic.Ack(2))), Kind.SETTLE)
    assert (acked.keys, acked.data) == ((key(2),), {"how": "ack", "requeue": False, "multiple": False})
    assert only(wire.client(f(Basic.Ack(4, True))), Kind.SETTLE).keys == (key(1), key(3), key(4))
    assert wire.client(f(Basic.Ack(4))) == []
    rejected = only(wire.client(f(Basic.Reject(5, True))), Kind.SETTLE)
    assert (rejected.keys, rejected.data) == ((key(5),), {"how": "reject", "requeue": True, "multiple": False})
    nacked = only(wire.client(f(Basic.Nack(6, False, False))), Kind.SETTLE)
    assert (nacked.keys, nacked.data) == ((key(6),), {"how": "nack", "requeue": False, "multiple": False})
    rest = only(wire.client(f(Basic.Nack(0, True, True))), Kind.SETTLE)
    assert (rest.keys, rest.data) == ((key(7), key(8)), {"how": "nack", "requeue": True, "multiple": True})


def test_tag_0_alone_settles_nothing_and_recover_puts_all_back() -> None:
    wire = Wire()
    wire.consume()
    wire.server(deliver(key(1), 1), deliver(key(2), 2))
    assert wire.client(f(Basic.Ack(0))) == []
    assert only(wire.client(f(Basic.Recover(True))), Kind.SETTLE).keys == (key(1), key(2))
    assert only(wire.server(deliver(key(1), 3, redelivered=True)), Kind.DELIVER).data["redelivered"] is True
    assert only(wire.client(f(Basic.Ack(3))), Kind.SETTLE).keys == (key(1),)


def test_a_channels_close_forgets_its_deliveries_and_another_queues_are_not_settled_as_the_sources() -> None:
    wire = Wire()
    wire.consume("a", channel=2)
    wire.consume("b", queue="retry", channel=2)
    wire.server(deliver(key(1), 1, "a", channel=2), deliver(key(2), 2, "b", channel=2))
    assert wire.client(f(Basic.Ack(2), 2)) == []
    wire.client(f(Channel.Close(200, "bye", 0, 0), 2))
    wire.server(f(Channel.CloseOk(), 2))
    assert wire.client(f(Channel.Open(), 2), f(Basic.Ack(0, True), 2)) == []


def test_gets_are_paired_in_order() -> None:
    wire = Wire()
    wire.client(f(Basic.Get(queue="orders")), f(Basic.Get(queue="audit")), f(Basic.Get(queue="orders")))
    got = b"".join(content(Basic.GetOk(2, True, "", "orders", 0), key(2).encode()))
    first = b"".join(content(Basic.GetOk(1, False, "", "audit", 0), key(1).encode()))
    assert wire.server(f(Basic.GetEmpty())) == []
    assert only(wire.server(first), Kind.ASIDE).data == {"what": "deliver", "to": "audit"}
    assert only(wire.server(got), Kind.DELIVER).data == {"redelivered": True, "settled": False, "how": "get"}
    assert only(wire.client(f(Basic.Ack(2))), Kind.SETTLE).keys == (key(2),)
    assert [s.data["code"] for s in wire.client(f(Basic.Get(queue="orders", no_ack=True)))] == ["auto_ack"]
