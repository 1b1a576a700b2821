"""RabbitMQ as a flow's broker: declares its queue, publishes to it, counts what it holds, says what can be aimed where.

In: a flow and a server. Out: aims, a producer, counts. Options of a source: `arguments` (queue arguments), `exchange`
(direct, durable, bound to the queue), `routing_key` (default: the queue's name), `dead_letter` (a queue).
To try it: `suites/unit/test_brokers_rabbitmq_flow.py`, `suites/conformance/test_brokers_rabbitmq.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pika
import pika.exceptions

from chaosharness.brokers.rabbitmq_limits import RabbitMQLimits
from chaosharness.brokers.rabbitmq_options import problems_of
from chaosharness.brokers.rabbitmq_producer import RabbitMQProducer
from chaosharness.brokers.rabbitmq_queues import look_at
from chaosharness.brokers.readers import reader_of
from chaosharness.brokers.windows import alarm_aim, queue_aims, slow_aim
from chaosharness.model.address import Address
from chaosharness.model.aim import Aim
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.flow import Flow, Source
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Namespace
from chaosharness.ports.plugin import Held
from chaosharness.ports.wire import CodecOptions
from chaosharness.servers.rabbitmq_control import sync_queues

CONNECT_WITHIN_S = 5.0
REQUEUED_WITHIN_S = 5.0
"""How long the broker may take to put back what a stopped consumer had in its hands."""
NOT_FOUND = 404


class RabbitMQBroker(RabbitMQLimits):
    """Implements `ports.plugin.Broker`. Namespace facts: user, password, vhost; server nodes: amqp, management."""

    name = "rabbitmq"
    server = "rabbitmq"
    codec = "amqp"
    redelivers = True

    def problems(self, source: Source) -> Sequence[str]:
        return problems_of(source)

    def codec_options(self, source: Source, producer_link: bool) -> CodecOptions:
        """Which routing keys lead from an exchange to the queue is known only if the harness declared it; else: any."""
        facts = {}
        if exchange := source.options.get("exchange"):
            facts["exchange"] = exchange
            if source.declare:
                facts["routing_key"] = _routing_key(source)
        return CodecOptions(source.name, facts, source.key, producer_link)

    def connection_string(self, address: Address, namespace: Namespace) -> str:
        user, password, vhost = (quote(namespace.facts[fact], safe="") for fact in ("user", "password", "vhost"))
        return f"amqp://{user}:{password}@{address}/{vhost}"

    def aims(self, flow: Flow) -> Sequence[Aim]:
        return (*queue_aims(flow, self.redelivers), alarm_aim(flow), slow_aim(flow))

    def declare(self, server: Instance, namespace: Namespace, source: Source) -> None:
        """A durable queue, with exchange, binding and dead-letter queue where given; nothing for `declare = false`."""
        if not source.declare:
            return
        arguments = dict(source.options.get("arguments") or {})
        dead_letter, exchange = source.options.get("dead_letter"), source.options.get("exchange")
        if dead_letter:
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_letter}
        with _connection(server.nodes["amqp"], namespace, "declare") as connection:
            try:
                channel = connection.channel()
                if dead_letter:
                    channel.queue_declare(dead_letter, durable=True)
                channel.queue_declare(source.name, durable=True, arguments=arguments)
                if exchange:
                    channel.exchange_declare(exchange, "direct", durable=True)
                    channel.queue_bind(source.name, exchange, _routing_key(source))
            except (pika.exceptions.ChannelClosedByBroker, pika.exceptions.ConnectionClosedByBroker) as refused:
                raise BadInput(
                    f"source {source.name!r}: RabbitMQ refused the declaration: "
                    f"{refused.reply_code} {refused.reply_text}; see arguments, exchange, dead_letter"
                ) from refused
            except (pika.exceptions.UnsupportedAMQPFieldException, OverflowError) as bad:
                raise BadInput(f"source {source.name!r}: arguments that AMQP cannot carry: {bad}") from bad

    def settle(self, server: Instance, namespace: Namespace) -> None:
        """ports.plugin.SettlingBroker: which quorum queues there are is written down."""
        look = look_at(server, namespace)
        if look and any(queue.get("type") == "quorum" for queue in look.queues.values()):
            sync_queues(server)

    def producer(self, address: Address, namespace: Namespace, source: Source) -> RabbitMQProducer:
        exchange = source.options.get("exchange") or ""
        routing_key = _routing_key(source) if exchange else source.name
        return RabbitMQProducer(_parameters(address, namespace, "producer"), exchange, routing_key)

    def held(self, server: Instance, namespace: Namespace, source: Source, seen_at: Sequence[str]) -> Held:
        """Of the source, of its retry and dead-letter queues, and of `seen_at`; `dead`: of the declared place."""
        look = look_at(server, namespace)
        if look is None or source.name not in look.queues:
            return Held(None, None)
        dead_letter = str(source.options.get("dead_letter") or "")
        reached = [*look.holding(source.name, _routing_key(source)), *(name for name in seen_at if name in look.queues)]
        places = [name for name in dict.fromkeys(reached) if name != dead_letter]
        return Held(
            look.count(places, "messages_ready"),
            look.count(places, "messages_unacknowledged"),
            look.count([dead_letter], "messages") if dead_letter in look.queues else None,
        )

    def yields(
        self,
        server: Instance,
        namespace: Namespace,
        source: Source,
        seen_at: Sequence[str],
        find: Callable[[bytes], str | None],
    ) -> Mapping[str, Sequence[str]]:
        """Reads every message without settling any: all go back when the connection closes. Raises HarnessBroke."""
        dead_letter = str(source.options.get("dead_letter") or "")

        def at_rest() -> tuple[list[str]] | None:
            """The places, once nobody has anything of them in hand."""
            look = look_at(server, namespace)
            if look is None:
                return None
            names = [*look.holding(source.name, _routing_key(source)), *seen_at, dead_letter]
            there = [name for name in dict.fromkeys(names) if name in look.queues]
            return (there,) if look.count(there, "messages_unacknowledged") == 0 else None

        what = f"RabbitMQ to put back what the stopped consumers of {source.name!r} had in hand"
        (places,) = wait_for(what, REQUEUED_WITHIN_S, at_rest)
        with _connection(server.nodes["amqp"], namespace, "reading what is left") as connection:
            return {
                f"dead:{place}" if place == dead_letter else place: _keys_in(connection, place, find)
                for place in places
            }

    def reader(self, source: Source) -> tuple[tuple[str, ...], Mapping[str, str]]:
        return reader_of("chaosharness.brokers.rabbitmq_reader", source)


def _routing_key(source: Source) -> str:
    key = source.options.get("routing_key")
    return source.name if key is None else str(key)


def _parameters(address: Address, namespace: Namespace, purpose: str) -> pika.ConnectionParameters:
    facts = namespace.facts
    return pika.ConnectionParameters(
        host=address.host,
        port=address.port,
        virtual_host=facts["vhost"],
        credentials=pika.PlainCredentials(facts["user"], facts["password"]),
        connection_attempts=1,
        socket_timeout=CONNECT_WITHIN_S,
        stack_timeout=CONNECT_WITHIN_S,
        client_properties={"connection_name": f"chaosharness: {purpose}"},
    )


@contextmanager
def _connection(address: Address, namespace: Namespace, purpose: str) -> Iterator[Any]:
    """A blocking connection; whatever of AMQP goes wrong on it and is not handled becomes HarnessBroke."""
    try:
        connection = pika.BlockingConnection(_parameters(address, namespace, purpose))
        try:
            yield connection
        finally:
            if connection.is_open:
                connection.close()
    except (pika.exceptions.AMQPError, OSError) as error:
        raise HarnessBroke(f"RabbitMQ at {address}, {purpose}: {error!r}") from error


def _keys_in(connection: Any, queue: str, find: Callable[[bytes], str | None]) -> tuple[str, ...]:
    """The keys of all messages of a queue, each once; messages without a key are passed over."""
    keys: dict[str, None] = {}
    channel = connection.channel()
    try:
        while True:
            method, properties, body = channel.basic_get(queue)
            if method is None:
                return tuple(keys)
            texts = [str(value) for value in vars(properties).values() if value is not None]
            key = find("\n".join(texts).encode()) or find(body)
            if key:
                keys[key] = None
    except pika.exceptions.ChannelClosedByBroker as closed:
        if closed.reply_code == NOT_FOUND:  # deleted meanwhile: it yields nothing
            return tuple(keys)
        raise
