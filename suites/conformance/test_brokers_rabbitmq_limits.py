"""RabbitMQ's limits, lowered and restored: what the broker then does, and what it says of itself. A live broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from rabbitmq_rig import SOON_S, Rig, running

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.servers.rabbitmq_control import call

QUEUE = "orders"
BROKER = RabbitMQBroker()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with running(Path(tmp_path_factory.mktemp("limits"))) as rig:
        yield rig


@pytest.fixture
def connection(rig: Rig) -> Iterator[pika.BlockingConnection]:
    with rig.lease() as lease:
        facts = lease.facts
        user = pika.PlainCredentials(facts["user"], facts["password"])
        with pika.BlockingConnection(
            pika.ConnectionParameters(rig.amqp.host, rig.amqp.port, facts["vhost"], user)
        ) as made:
            made.channel().queue_declare(QUEUE)
            yield made


def test_a_call_answers_as_erlang_writes_it(rig: Rig) -> None:
    assert call(rig.instance, "erlang:node") == "rabbit@localhost"
    with pytest.raises(HarnessBroke, match="nowhere:never"):
        call(rig.instance, "nowhere:never", "1")


def test_an_alarm_blocks_who_publishes_until_it_is_cleared(rig: Rig, connection: pika.BlockingConnection) -> None:
    told: list[str] = []
    connection.add_on_connection_blocked_callback(lambda *_: told.append("blocked"))
    connection.add_on_connection_unblocked_callback(lambda *_: told.append("unblocked"))
    with BROKER.alarm(rig.instance) as raised:
        assert raised.ok
        assert BROKER.alarmed(rig.instance)
        connection.channel().basic_publish("", QUEUE, b"one")
        wait_for("the connection to be blocked", SOON_S, lambda: connection.process_data_events(0.05) or told)
        assert told == ["blocked"]
    assert not BROKER.alarmed(rig.instance)
    wait_for("the connection to be unblocked", SOON_S, lambda: connection.process_data_events(0.05) or told[1:])
    assert told == ["blocked", "unblocked"]


def test_a_delivery_is_taken_back_after_the_lower_time_out(rig: Rig, connection: pika.BlockingConnection) -> None:
    before = call(rig.instance, "application:get_env", "rabbit", "consumer_timeout")
    with BROKER.consumer_timeout(rig.instance, 1.0) as lowered:
        assert (lowered.ok, lowered.facts["consumer_timeout_s"]) == (True, 1.0)
        channel = connection.channel()
        channel.basic_publish("", QUEUE, b"one")
        channel.basic_consume(QUEUE, lambda *_: None)
        began = time.monotonic()
        wait_for(
            "the broker to close the channel",
            SOON_S,
            lambda: connection.process_data_events(0.05) or not channel.is_open,
        )
        assert 1.0 <= time.monotonic() - began < SOON_S
    assert call(rig.instance, "application:get_env", "rabbit", "consumer_timeout") == before


def test_they_are_restored_whatever_becomes_of_the_scenario(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError), BROKER.alarm(rig.instance), BROKER.consumer_timeout(rig.instance, 1.0):
        raise ZeroDivisionError
    assert not BROKER.alarmed(rig.instance)
    assert call(rig.instance, "application:get_env", "rabbit", "consumer_timeout") == "{ok,1800000}"
