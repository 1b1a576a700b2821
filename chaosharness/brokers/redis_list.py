"""A Redis list as a broker: LPUSH puts in; a consumer pops, or moves to a processing list and removes there.

In: a flow whose source is a list's key. Out: its aims, the harness's own producer (LPUSH), counts and what is left.
Redis itself hands nothing over again: what a consumer has lost hold of stays in its processing list until a reaper of
the system under test moves it back. So no aim promises a redelivery.
To try it: `suites/conformance/test_brokers_redis_list.py`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaosharness.brokers.readers import reader_of
from chaosharness.brokers.windows import queue_aims
from chaosharness.model.address import Address
from chaosharness.model.aim import Aim
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.flow import Flow, Source
from chaosharness.ports.launch import Instance, Namespace
from chaosharness.ports.plugin import Completion, Held, Message, Outcome
from chaosharness.ports.wire import CodecOptions
from chaosharness.servers.redis import connected

CALL_TIMEOUT_S = 5.0
COUNT_TIMEOUT_S = 1.0


class RedisListBroker:
    """ports.plugin.Broker; `source.name` is the list's key, in the database of the scenario's namespace."""

    name = "redis_list"
    server = "redis"
    codec = "resp"
    redelivers = False

    def problems(self, source: Source) -> Sequence[str]:
        """Each names its key. A list has no options, and its messages have a body only."""
        problems = [f"{option}: redis_list has no options, found {option!r}" for option in source.options]
        if source.key is not None and not source.key.startswith("body:"):
            wanted = "a Redis list's message is a body only, expected body:json:$.name"
            problems.append(f"key: {wanted}, found {source.key!r}")
        return problems

    def codec_options(self, source: Source, producer_link: bool) -> CodecOptions:
        return CodecOptions(source.name, place=source.key, producer_link=producer_link)

    def connection_string(self, address: Address, namespace: Namespace) -> str:
        """`redis://host:port/db`."""
        return f"redis://{address}/{namespace.facts['db']}"

    def aims(self, flow: Flow) -> Sequence[Aim]:
        """No redelivery is promised. Whether a consumer pops (settled on delivery) or moves is found out on the wire.

        `stored` holds the reply of a BLMOVE: the message is in the processing list by then, also in the append-only
        file, and the consumer does not know. Redis killed here must come back with the list as it was, and the
        consumer's reaper must find there what no reply will ever bring; what nobody moves back is stranded.
        """
        return queue_aims(flow, self.redelivers)

    def declare(self, server: Instance, namespace: Namespace, source: Source) -> None:
        """Redis makes lists as they are needed; raises BadInput if the key is something else already."""
        try:
            with connected(server, _db(namespace), CALL_TIMEOUT_S) as client:
                found = client.type(source.name).decode()
        except redis.RedisError as error:
            raise HarnessBroke(f"{server.name}: cannot ask for the type of {source.name!r}: {error}") from error
        if found not in ("none", "list"):
            raise BadInput(f"redis_list: {source.name!r} is a {found}, expected a list or nothing: name another key")

    def producer(self, address: Address, namespace: Namespace, source: Source) -> ListProducer:
        return ListProducer(address, _db(namespace), source.name)

    def held(self, server: Instance, namespace: Namespace, source: Source, seen_at: Sequence[str]) -> Held:
        """Lengths of the source (ready) and of the lists that consumers moved messages to (unacked)."""
        others = _others(source, seen_at)
        try:
            with (
                connected(server, _db(namespace), COUNT_TIMEOUT_S) as client,
                client.pipeline(transaction=True) as pipeline,
            ):
                for place in (source.name, *others):
                    pipeline.llen(place)
                ready, *unacked = pipeline.execute()
        except redis.RedisError:
            return Held(None, None)
        return Held(ready, sum(unacked))

    def yields(
        self,
        server: Instance,
        namespace: Namespace,
        source: Source,
        seen_at: Sequence[str],
        find: Callable[[bytes], str | None],
    ) -> Mapping[str, Sequence[str]]:
        """The keys in the source and in each list of `seen_at`, head first. Raises HarnessBroke if Redis is silent."""
        places = (source.name, *_others(source, seen_at))
        try:
            with connected(server, _db(namespace), CALL_TIMEOUT_S) as client:
                contents = {place: client.lrange(place, 0, -1) for place in places}
        except redis.RedisError as error:
            raise HarnessBroke(f"{server.name}: cannot read what is left in {', '.join(places)}: {error}") from error
        return {place: [key for body in bodies if (key := find(body))] for place, bodies in contents.items()}

    def reader(self, source: Source) -> tuple[tuple[str, ...], Mapping[str, str]]:
        return reader_of("chaosharness.brokers.redis_list_reader", source)


class ListProducer:
    """ports.plugin.BrokerProducer: one connection, LPUSHes without waiting, answers in order; nothing is sent twice.

    For one thread. After a lost connection the next `send` makes a new one.
    """

    def __init__(self, address: Address, db: int, name: str) -> None:
        self._connection = redis.Connection(
            host=address.host, port=address.port, db=db, socket_timeout=CALL_TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._name = name
        self._unanswered: deque[str] = deque()
        self._completed: list[Completion] = []
        self._never = threading.Event()

    def send(self, message: Message) -> None:
        """A message for which there was no connection has failed: no byte of it was sent. The next one tries again."""
        try:
            self._connection.connect()
        except redis.RedisError as error:
            self._completed.append(Completion(message.key, Outcome.FAIL, f"not sent: {error}"))
            return
        self._unanswered.append(message.key)
        try:
            self._connection.send_command("LPUSH", self._name, message.body)
        except redis.RedisError as error:
            self._lost(error)

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        """See ports.plugin.BrokerProducer. Waits also if nothing is unanswered: who keeps a rate must not spin."""
        if not self._unanswered and not self._completed:
            self._never.wait(timeout_s)
        while self._unanswered:
            try:
                if not self._connection.can_read(0 if self._completed else timeout_s):
                    break
                self._connection.read_response()
                self._completed.append(Completion(self._unanswered.popleft(), Outcome.OK, told=True))
            except redis.ResponseError as refused:
                self._completed.append(Completion(self._unanswered.popleft(), Outcome.FAIL, str(refused), told=True))
            except redis.RedisError as error:
                self._lost(error)
        completed, self._completed = self._completed, []
        return completed

    def close(self) -> None:
        self._connection.disconnect()

    def _lost(self, error: redis.RedisError) -> None:
        self._connection.disconnect()
        self._completed += [Completion(key, Outcome.INFO, f"connection lost: {error}") for key in self._unanswered]
        self._unanswered.clear()


def _db(namespace: Namespace) -> int:
    return int(namespace.facts["db"])


def _others(source: Source, seen_at: Sequence[str]) -> tuple[str, ...]:
    """Each place once, without the source (a consumer may rotate the source into itself)."""
    return tuple(place for place in dict.fromkeys(seen_at) if place != source.name)
