"""The relay's gates between real clients and a real RabbitMQ: what a hold, a discard and a cut let through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from amqp_peers import SOON_S, SOURCE, Bench, consume, frame_client, publish
from pamqp import commands
from publishing import collect, outcomes
from relay_bench import AIMED, KEYS, NONCE, QUEUE, scene_of

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.model.event import Kind
from chaosharness.model.gate import Action, Point
from chaosharness.model.key import make_key
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance
from chaosharness.ports.plugin import Message, Outcome
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.rabbitmq import RabbitMQ

SERVER = RabbitMQ()
HEARTBEAT_S = 1
LONGER_THAN_THE_BROKER_WAITS_S = 4.0


@pytest.fixture(scope="module")
def server(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return SERVER.start(launcher, tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    relay.close()


@pytest.fixture
def bench(server: Instance, relay: RelayClient, tmp_path: Path) -> Iterator[Bench]:
    namespace = SERVER.lease(server, "test")
    RabbitMQBroker().declare(server, namespace, SOURCE)
    with scene_of(relay, tmp_path / "ledger") as scene:
        yield Bench(scene, server, namespace, scene.tap(server.nodes["amqp"]))
        assert scene.events(Kind.UNPARSED, Kind.UNKEYED) == []
    SERVER.release(server, namespace)


def test_a_held_publish_goes_on_with_all_behind_it(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=SOON_S)
    with bench.client() as connection:
        publish(connection.channel(), KEYS)
        bench.scene.wait(Kind.GATE_HELD)
        assert bench.drain(4) == KEYS[:4]
        assert bench.scene.keys(Kind.PUBLISH) == KEYS[:4]
        assert bench.scene.release(forward=True)
        assert bench.drain(6) == KEYS[4:]
    assert bench.scene.released() == (True, "told")
    assert bench.scene.keys(Kind.PUBLISH) == KEYS


def test_what_is_discarded_swallows_its_direction_alone(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=SOON_S)
    bench.fill([make_key(NONCE, 20)])
    with bench.client() as connection:
        connection.channel().basic_consume(QUEUE, lambda *delivery: came.append(delivery[3].decode()), auto_ack=True)
        came: list[str] = []
        wait_for("the first delivery", SOON_S, lambda: connection.process_data_events(0.05) or came)
        channel = connection.channel()
        publish(channel, KEYS[:5])
        bench.scene.wait(Kind.GATE_HELD)
        assert bench.scene.release(forward=False)
        publish(channel, KEYS[5:])
        bench.fill([make_key(NONCE, 21)])
        wait_for("what the broker still says", SOON_S, lambda: connection.process_data_events(0.05) or len(came) == 6)
        wait_for("all to be read", SOON_S, lambda: len(bench.scene.keys(Kind.PUBLISH, discarded=True)) == 6)
        assert bench.scene.events(Kind.DISCONNECT) == []
        bench.scene.relay.end()  # or the client waits for an answer to its close, which is swallowed like all else
    assert sorted(came) == sorted([*KEYS[:4], make_key(NONCE, 20), make_key(NONCE, 21)])
    assert bench.scene.keys(Kind.PUBLISH) == KEYS[:4]
    assert bench.scene.keys(Kind.PUBLISH, discarded=True) == KEYS[4:]
    assert bench.scene.released() == (False, "told")


def test_a_cut_publish_is_lost_with_what_is_behind_it_and_nothing_before_it(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.CUT)
    with bench.client() as connection:
        publish(connection.channel(), KEYS)
        bench.scene.wait(Kind.DISCONNECT)
        assert bench.drain(4) == KEYS[:4]
    (cut,) = bench.scene.events(Kind.GATE_CUT)
    assert (cut.key, cut.data["point"]) == (AIMED, "publish")
    assert bench.scene.keys(Kind.PUBLISH) == KEYS[:4]
    assert bench.scene.keys(Kind.PUBLISH, discarded=True)[0] == AIMED
    assert [event.data["by"] for event in bench.scene.events(Kind.DISCONNECT)] == ["tap"]


def test_a_cut_delivery_is_lost_on_its_way_and_comes_again(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.DELIVER, Action.CUT)
    with frame_client(bench) as client:
        client.send(commands.Basic.Consume(queue=QUEUE))
        assert [client.until("ContentBody").value.decode() for _ in KEYS[:4]] == KEYS[:4]
        with pytest.raises(EOFError):
            client.next()
    assert bench.scene.keys(Kind.DELIVER) == KEYS[:4]
    assert bench.drain(10) == KEYS


def test_a_cut_settle_leaves_its_message_and_those_behind_it(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.SETTLE, Action.CUT)
    with bench.client() as connection:
        consume(connection, len(KEYS))
        bench.scene.wait(Kind.DISCONNECT)
    assert bench.drain(6) == KEYS[4:]


MANY = [make_key(NONCE, number) for number in range(30)]
SEVENTEENTH = MANY[16]


def test_a_held_confirm_is_split_from_those_that_share_its_frame(bench: Bench) -> None:
    def until_one_was_split() -> bool:
        """How many publishes RabbitMQ confirms with one frame is its own choice: a batch of one burst, as a rule."""
        bench.scene.arm(Point.CONFIRM, Action.HOLD, SEVENTEENTH, deadline_s=SOON_S)
        producer = bench.producer()
        try:
            for key in MANY:
                producer.send(Message(key, b"{}"))
            before = outcomes(collect(producer, 16))
            assert before == dict.fromkeys(MANY[:16], Outcome.OK)
            confirms = bench.scene.events(Kind.CONFIRM)
            assert bench.scene.release(forward=True)
            assert outcomes(collect(producer, 14)) == dict.fromkeys(MANY[16:], Outcome.OK)
        finally:
            producer.close()
        rest = bench.scene.events(Kind.CONFIRM)[len(confirms)]
        assert (confirms[-1].keys[-1], rest.keys[0]) == (MANY[15], SEVENTEENTH)
        return len(confirms[-1].keys) > 1 and len(rest.keys) > 1

    wait_for("one frame for the 17th and some on either side", SOON_S, until_one_was_split)


def test_a_cut_confirm_leaves_the_message_in_the_queue_and_its_producer_in_doubt(bench: Bench) -> None:
    bench.scene.arm(Point.CONFIRM, Action.CUT, SEVENTEENTH)
    producer = bench.producer()
    try:
        for key in MANY[:17]:
            producer.send(Message(key, key.encode()))
        done = outcomes(collect(producer, 17))
    finally:
        producer.close()
    assert done == {**dict.fromkeys(MANY[:16], Outcome.OK), SEVENTEENTH: Outcome.INFO}
    assert bench.drain(17) == MANY[:17]


def test_heartbeats_of_the_client_overtake_what_is_held(bench: Bench) -> None:
    bench.fill(KEYS[:5])
    bench.scene.arm(Point.SETTLE, Action.HOLD, deadline_s=SOON_S)
    with bench.client(heartbeat=HEARTBEAT_S) as connection:
        assert consume(connection, 5) == KEYS[:5]
        bench.scene.wait(Kind.GATE_HELD)
        connection.process_data_events(LONGER_THAN_THE_BROKER_WAITS_S)
        assert connection.is_open
        assert bench.scene.release(forward=True)
    assert bench.scene.keys(Kind.SETTLE) == KEYS[:5]
    assert bench.drain(0) == []


def test_heartbeats_of_the_broker_overtake_what_is_held(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.DELIVER, Action.HOLD, KEYS[0], deadline_s=SOON_S)
    with frame_client(bench, heartbeat=HEARTBEAT_S) as client:
        client.send(commands.Basic.Consume(queue=QUEUE))
        bench.scene.wait(Kind.GATE_HELD)
        client.until("Basic.ConsumeOk")
        assert client.next().name == "Heartbeat"
        assert bench.scene.release(forward=True)
        client.until("Basic.Deliver")


def test_other_channels_go_on_while_one_is_held(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=SOON_S)
    with bench.client() as connection:
        held, other = connection.channel(), connection.channel()
        other.confirm_delivery()
        publish(held, KEYS)
        bench.scene.wait(Kind.GATE_HELD)
        other.basic_publish("", QUEUE, MANY[20].encode(), mandatory=True)
        assert bench.drain(5) == [*KEYS[:4], MANY[20]]
        assert bench.scene.release(forward=True)
        assert bench.drain(6) == KEYS[4:]


def test_a_close_does_not_overtake_what_is_held(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=0.3)
    with bench.client() as connection:
        publish(connection.channel(), KEYS)
    assert bench.drain(10) == KEYS
    assert bench.scene.released() == (True, "deadline")


def test_a_hold_ends_at_its_deadline(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.DELIVER, Action.HOLD, deadline_s=0.2)
    with bench.client() as connection:
        assert consume(connection, len(KEYS)) == KEYS
    assert bench.scene.released() == (True, "deadline")
    assert not bench.scene.release(forward=False)
    assert bench.scene.keys(Kind.DELIVER) == KEYS


def test_a_disarmed_gate_lets_go_and_one_that_nothing_met_is_said(bench: Bench) -> None:
    bench.scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=SOON_S)
    with bench.client() as connection:
        publish(connection.channel(), KEYS)
        bench.scene.wait(Kind.GATE_HELD)
        bench.scene.relay.disarm("g")
        assert bench.drain(10) == KEYS
    assert bench.scene.released() == (True, "disarmed")
    bench.scene.arm(Point.PUBLISH, Action.CUT)
    bench.scene.relay.disarm("g")
    with bench.client() as connection:
        publish(connection.channel(), KEYS)
        assert bench.drain(10) == KEYS
    assert len(bench.scene.events(Kind.GATE_DISARMED)) == 1
