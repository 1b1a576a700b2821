"""The AMQP codec: publishes, confirms and the split of a bulk confirm, which publishes are the source's."""

from __future__ import annotations

from typing import Any

import pytest
from taps_amqp_talk import (
    Basic,
    C,
    Channel,
    Confirm,
    Connection,
    Exchange,
    Queue,
    S,
    Tx,
    Wire,
    brief,
    content,
    f,
    key,
    only,
    publish,
)

from chaosharness.model.event import Kind, Sighting
from chaosharness.ports.wire import Unit

# -- publishes and confirms -------------------------------------------------------------------------------------------


def test_a_publish_is_one_unit_of_all_its_frames() -> None:
    wire = Wire()
    wire.client(f(Confirm.Select()))
    frames = content(Basic.Publish(routing_key="orders", mandatory=True), b'{"id": "kabcd-000117"}', pieces=3)
    assert len(frames) == 5
    for part in frames[:-1]:
        assert wire.codec.feed(C, part) == []
    (unit,) = wire.codec.feed(C, frames[-1])
    assert unit.data == b"".join(frames)
    assert unit.lane == 1
    assert unit.seen == (
        Sighting(
            Kind.PUBLISH, ("kabcd-000117",), {"confirms": True, "persistent": True, "mandatory": True, "to": "/orders"}
        ),
    )


def test_choices_that_nobody_wrote_down_are_said_once_per_connection() -> None:
    wire = Wire()
    first = wire.client(publish(key(1), mandatory=False, delivery_mode=None))
    assert [s.data["code"] for s in first if s.kind is Kind.ADVICE] == ["no_confirms", "transient", "not_mandatory"]
    assert all(s.keys == (key(1),) for s in first)
    assert first[0].data == {"confirms": False, "persistent": False, "mandatory": False, "to": "/orders"}
    assert brief(wire.client(publish(key(2), mandatory=False, delivery_mode=1))) == [("publish", (key(2),))]
    assert [s.data["code"] for s in wire.client(f(Tx.Select()))] == ["tx"]
    assert [s.data["code"] for s in Wire().client(f(Tx.Select()), publish(key(1))) if s.kind is Kind.ADVICE] == ["tx"]


@pytest.mark.parametrize("mode", [1, 2, None])
def test_delivery_mode_is_found_behind_whatever_stands_before_it(mode: int | None) -> None:
    more: dict[str, Any] = {
        "content_type": "application/json",
        "content_encoding": "utf-8",
        "headers": {"a": "b", "n": {"x": 1}},
    }
    seen_ = Wire().client(f(Confirm.Select()), publish(key(1), delivery_mode=mode, **more))
    assert seen_[0].data["persistent"] is (mode == 2)


def test_confirms_cover_what_the_channels_sequence_says() -> None:
    wire = Wire()
    wire.client(publish(key(0)), f(Confirm.Select()))  # before confirm.select: never confirmed
    wire.client(publish(key(1)), publish("unkeyed"), publish(key(3)), publish(key(4)), publish(key(5)))
    assert only(wire.server(f(Basic.Ack(3))), Kind.CONFIRM) == Sighting(Kind.CONFIRM, (key(3),), {"ok": True})
    assert wire.server(f(Basic.Ack(2))) == []
    assert only(wire.server(f(Basic.Ack(4, True))), Kind.CONFIRM).keys == (key(1), key(4))
    assert only(wire.server(f(Basic.Nack(5))), Kind.CONFIRM) == Sighting(Kind.CONFIRM, (key(5),), {"ok": False})
    assert wire.server(f(Basic.Ack(5))) == []
    wire.client(publish(key(6)), publish(key(7)))
    assert only(wire.server(f(Basic.Ack(0, True))), Kind.CONFIRM).keys == (key(6), key(7))


def test_sequences_are_each_channels_own_and_end_with_it() -> None:
    wire = Wire()
    for channel in (1, 2):
        wire.client(f(Confirm.Select(), channel), publish(key(channel), channel=channel))
    assert only(wire.server(f(Basic.Ack(1), 2)), Kind.CONFIRM).keys == (key(2),)
    closed = only(wire.server(f(Channel.Close(404, "NOT_FOUND", 60, 40), 1)), Kind.CLOSED)
    assert closed.data == {"scope": "channel", "by": "server", "code": 404, "reason": "NOT_FOUND"}
    assert wire.client(publish(key(8))) == []  # the server throws away what comes before close-ok
    wire.client(f(Channel.CloseOk()), f(Channel.Open()), f(Confirm.Select()), publish(key(9)))
    assert only(wire.server(f(Basic.Ack(1))), Kind.CONFIRM).keys == (key(9),)


def test_a_client_that_closes_still_hears_what_was_on_its_way() -> None:
    wire = Wire()
    wire.client(f(Confirm.Select()), publish(key(1)))
    assert only(wire.client(f(Channel.Close(200, "bye", 0, 0))), Kind.CLOSED).data["by"] == "client"
    assert only(wire.server(f(Basic.Ack(1))), Kind.CONFIRM).keys == (key(1),)
    wire.server(f(Channel.CloseOk()))
    wire.client(f(Channel.Open()), f(Confirm.Select()), publish(key(2)))
    assert only(wire.server(f(Basic.Ack(1))), Kind.CONFIRM).keys == (key(2),)


def test_a_connection_closed_by_the_server_hears_nothing_more() -> None:
    wire = Wire()
    closed = only(wire.server(f(Connection.Close(320, "CONNECTION_FORCED", 0, 0), 0)), Kind.CLOSED)
    assert closed.data == {"scope": "connection", "by": "server", "code": 320, "reason": "CONNECTION_FORCED"}
    assert wire.client(publish(key(1))) == []


def test_a_returned_message_is_confirmed_but_the_broker_does_not_have_it() -> None:
    wire = Wire()
    wire.client(f(Confirm.Select()), publish(key(1)), publish(key(2)))
    returned = content(Basic.Return(312, "NO_ROUTE", "", "orders"), key(1).encode())
    assert only(wire.server(*returned), Kind.RETURNED) == Sighting(Kind.RETURNED, (key(1),), {"reason": "312 NO_ROUTE"})
    assert only(wire.server(f(Basic.Ack(2, True))), Kind.CONFIRM).keys == (key(2),)


# -- splitting a bulk confirm -----------------------------------------------------------------------------------------


def bulk(count: int, tag: int, *, nack: bool = False, unkeyed: tuple[int, ...] = ()) -> tuple[Wire, Unit]:
    wire = Wire()
    wire.client(f(Confirm.Select()), *(publish("-" if n in unkeyed else key(n)) for n in range(1, count + 1)))
    (unit,) = wire.units(S, f(Basic.Nack(tag, True, False) if nack else Basic.Ack(tag, True)))
    return wire, unit


def test_a_bulk_confirm_is_split_before_the_key() -> None:
    wire, unit = bulk(30, 30)
    before, rest = wire.codec.split(unit, key(17))
    assert before is not None
    assert before.data == f(Basic.Ack(16, True))
    assert before.seen == (Sighting(Kind.CONFIRM, tuple(key(n) for n in range(1, 17)), {"ok": True}),)
    assert rest.data == unit.data
    assert rest.seen == (Sighting(Kind.CONFIRM, tuple(key(n) for n in range(17, 31)), {"ok": True}),)
    assert before.lane == rest.lane == 1
    again, last = wire.codec.split(rest, key(18))  # a part can be split again
    assert again is not None
    assert (again.data, again.seen[0].keys) == (f(Basic.Ack(17, True)), (key(17),))
    assert last.seen[0].keys[0] == key(18)


def test_the_part_before_ends_at_an_open_number_even_if_that_publish_had_no_key() -> None:
    wire, unit = bulk(5, 5, unkeyed=(2,))
    before, rest = wire.codec.split(unit, key(3))
    assert before is not None
    assert (before.data, before.seen[0].keys) == (f(Basic.Ack(2, True)), (key(1),))
    assert rest.seen[0].keys == (key(3), key(4), key(5))


def test_a_nack_splits_as_a_nack() -> None:
    wire, unit = bulk(3, 3, nack=True)
    before, rest = wire.codec.split(unit, key(3))
    assert before is not None
    assert before.data == f(Basic.Nack(2, True, False))
    assert before.seen[0].data == rest.seen[0].data == {"ok": False}


@pytest.mark.parametrize("wanted", [key(1), key(99)])
def test_a_confirm_that_cannot_be_split_there_stays_whole(wanted: str) -> None:
    wire, unit = bulk(3, 3)
    assert wire.codec.split(unit, wanted) == (None, unit)


def test_a_confirm_of_one_key_and_other_units_stay_whole() -> None:
    wire, unit = bulk(1, 1)
    assert wire.codec.split(unit, key(1)) == (None, unit)
    (unit,) = wire.units(C, publish(key(2)))
    assert wire.codec.split(unit, key(2)) == (None, unit)


# -- which publishes are the source's ---------------------------------------------------------------------------------


def test_a_publish_to_another_queue_is_aside() -> None:
    aside = only(Wire(producer_link=True).client(publish(key(1), "orders.dead")), Kind.ASIDE)
    assert (aside.keys, aside.data) == ((key(1),), {"what": "publish", "to": "/orders.dead"})


@pytest.mark.parametrize(
    ("options", "exchange", "routing_key", "kind"),
    [
        ({}, "shop", "any", Kind.ASIDE),
        ({"producer_link": True}, "shop", "any", Kind.PUBLISH),
        ({"facts": {"exchange": "shop", "routing_key": "new"}}, "shop", "new", Kind.PUBLISH),
        ({"facts": {"exchange": "shop", "routing_key": "new"}, "producer_link": True}, "shop", "old", Kind.ASIDE),
        ({"facts": {"exchange": "shop"}}, "shop", "old", Kind.PUBLISH),
    ],
)
def test_declared_exchanges_and_producers_links(
    options: dict[str, Any], exchange: str, routing_key: str, kind: Kind
) -> None:
    assert Wire(**options).client(f(Confirm.Select()), publish(key(1), routing_key, exchange))[0].kind is kind


@pytest.mark.parametrize(
    ("type_", "pattern", "routing_key", "is_source"),
    [
        ("direct", "new", "new", True),
        ("direct", "*", "new", False),
        ("fanout", "", "whatever", True),
        ("topic", "order.*", "order.created", True),
        ("topic", "order.*", "order.created.eu", False),
        ("topic", "order.#", "order", True),
        ("topic", "#.eu", "order.created.eu", True),
        (None, "order.*", "order.created", True),
        (None, "order.*", "invoice.created", False),
    ],
)
def test_exchanges_are_learned_from_the_connections_own_bindings(
    type_: str | None, pattern: str, routing_key: str, is_source: bool
) -> None:
    wire = Wire()
    if type_:
        wire.client(f(Exchange.Declare(exchange="shop", exchange_type=type_)))
    wire.client(f(Queue.Declare(queue="orders")), f(Queue.Bind(queue="", exchange="shop", routing_key=pattern)))
    wire.client(f(Queue.Bind(queue="audit", exchange="shop", routing_key="#")))
    found = wire.client(f(Confirm.Select()), publish(key(1), routing_key, "shop"))[0]
    assert found.kind is (Kind.PUBLISH if is_source else Kind.ASIDE)
