"""What the two ends of one connection say to each other: methods and messages in, sightings out.

The state is the broker's view: a channel that the server has closed is deaf until the client's close-ok, deliveries are
open from when they are handed over, publishes count from confirm.select on. A method without a reader says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import KeyFinder, Place
from chaosharness.ports.wire import CodecOptions, Side
from chaosharness.taps.amqp import methods as m
from chaosharness.taps.amqp.channel import Channel, Subscription, Tagged, keys_of
from chaosharness.taps.amqp.framing import Stretch
from chaosharness.taps.amqp.routes import Routes

ADVICE = {
    "auto_ack": "deliveries are settled by being written to the socket: a consumer that crashes loses all of them",
    "unlimited_prefetch": "no prefetch limit: the broker hands over all that it has, and a crash brings all of it back",
    "no_confirms": "published without publisher confirms: a publish that the broker never had is not noticed",
    "transient": "published with delivery mode 1: the message does not survive a restart of the broker",
    "not_mandatory": "published without the mandatory flag: a message that no queue takes vanishes in silence",
    "tx": "the channel is transactional: publishes and acks count from tx.commit on",
}


@dataclass(slots=True)
class Read:
    """What one stretch means."""

    seen: Sequence[Sighting] = ()
    covered: tuple[Tagged, ...] = ()
    """What a publisher confirm covers, unkeyed publishes too."""
    frame_max: int | None = None
    """The bound that connection.tune-ok has set; 0 = none."""
    overtakes: bool = False
    """Nothing of its channel stalls it."""


_NOTHING = Read()


_Reader = Callable[[Channel, m.Arguments, Stretch], Read]


class Dialogue:
    """One connection. `read` raises struct.error, IndexError or ValueError on a method that cannot be decoded."""

    def __init__(self, options: CodecOptions, finder: KeyFinder) -> None:
        self._queue = options.source
        self._finder = finder
        self._place = Place(options.place) if options.place else None
        self._routes = Routes(options.source, options.facts, options.producer_link)
        self._channels: dict[int, Channel] = {}
        self._advised: set[str] = set()
        self._deaf = False
        readers: dict[tuple[Side, bytes], _Reader] = {
            (Side.CLIENT, m.TUNE_OK): self._tune_ok,
            (Side.CLIENT, m.EXCHANGE_DECLARE): self._exchange_declare,
            (Side.CLIENT, m.QUEUE_DECLARE): self._queue_declare,
            (Side.SERVER, m.QUEUE_DECLARE_OK): self._queue_declare_ok,
            (Side.CLIENT, m.QUEUE_BIND): self._queue_bind,
            (Side.CLIENT, m.QOS): self._qos,
            (Side.CLIENT, m.CONSUME): self._consume,
            (Side.SERVER, m.CONSUME_OK): self._consume_ok,
            (Side.CLIENT, m.CANCEL): self._client_cancel,
            (Side.SERVER, m.CANCEL): self._cancelled,
            (Side.SERVER, m.CANCEL_OK): self._cancelled,
            (Side.CLIENT, m.CONFIRM_SELECT): self._confirm_select,
            (Side.CLIENT, m.TX_SELECT): self._tx_select,
            (Side.CLIENT, m.PUBLISH): self._publish,
            (Side.SERVER, m.ACK): self._confirm_ack,
            (Side.SERVER, m.NACK): self._confirm_nack,
            (Side.SERVER, m.RETURN): self._return,
            (Side.SERVER, m.DELIVER): self._deliver,
            (Side.CLIENT, m.GET): self._get,
            (Side.SERVER, m.GET_OK): self._get_ok,
            (Side.SERVER, m.GET_EMPTY): self._get_empty,
            (Side.CLIENT, m.ACK): self._ack,
            (Side.CLIENT, m.NACK): self._nack,
            (Side.CLIENT, m.REJECT): self._reject,
            (Side.CLIENT, m.RECOVER): self._recover,
            (Side.CLIENT, m.RECOVER_ASYNC): self._recover,
        }
        self._readers: dict[Side, dict[bytes, tuple[Callable[[bytes], m.Arguments], _Reader]]] = {
            side: {method: (m.READERS[method], reader) for (whose, method), reader in readers.items() if whose is side}
            for side in Side
        }
        self._closers = {m.CHANNEL_OPEN, m.CHANNEL_CLOSE, m.CHANNEL_CLOSE_OK, m.CONNECTION_CLOSE}

    def read(self, side: Side, stretch: Stretch) -> Read:
        """What a method frame, or a message, means; nothing for the many that mean nothing here."""
        payload = stretch.method
        method = payload[:4]
        found = self._readers[side].get(method)
        if found is None:
            return self._aside(side, method, stretch)
        channel = self._channels.get(stretch.channel)
        if channel is None:
            channel = self._channels[stretch.channel] = Channel()
        if (channel.deaf or self._deaf) and side is Side.CLIENT:
            return _NOTHING  # the server throws it away: it has closed, and waits for close-ok only
        arguments, reader = found
        return reader(channel, arguments(payload), stretch)

    def _aside(self, side: Side, method: bytes, stretch: Stretch) -> Read:
        """Methods that either side may send, and those that mean nothing here."""
        if method in (m.BLOCKED, m.UNBLOCKED):
            kind = Kind.BLOCKED if method == m.BLOCKED else Kind.UNBLOCKED
            reason = "".join(m.READERS[method](stretch.method))
            return Read((Sighting(kind, data={"reason": reason}),), overtakes=True)
        return self._lifetime(side, method, stretch) if method in self._closers else _NOTHING

    def _lifetime(self, side: Side, method: bytes, stretch: Stretch) -> Read:
        if method == m.CHANNEL_CLOSE_OK:
            self._channels.pop(stretch.channel, None)
        elif method == m.CHANNEL_OPEN:
            self._channels[stretch.channel] = Channel()
        else:
            code, reason = m.READERS[method](stretch.method)
            scope = "connection" if method == m.CONNECTION_CLOSE else "channel"
            if scope == "connection":
                self._deaf = self._deaf or side is Side.SERVER
            elif side is Side.SERVER:
                self._channels[stretch.channel] = Channel(deaf=True)
            data = {"scope": scope, "by": side.value, "code": code, "reason": reason}
            return Read([Sighting(Kind.CLOSED, data=data)])
        return _NOTHING

    # -- the way to the queue ----------------------------------------------------------------------------------------

    def _tune_ok(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return Read([Sighting(Kind.TUNED, data={"heartbeat_s": args[2]})], frame_max=args[1])

    def _exchange_declare(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        self._routes.declared(args[1], args[2])
        return _NOTHING

    def _queue_declare(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        channel.last_queue = args[1]
        return _NOTHING

    def _queue_declare_ok(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        # Only a name that the server made is news; a pipelined answer must not undo a later declare.
        channel.last_queue = channel.last_queue or args[0]
        return _NOTHING

    def _queue_bind(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        _, queue, exchange, pattern = args
        self._routes.bound(queue or channel.last_queue, exchange, pattern)
        return _NOTHING

    # -- consumers ---------------------------------------------------------------------------------------------------

    def _qos(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        channel.prefetch = args[1]
        return _NOTHING

    def _consume(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        _, queue, tag, bits = args
        queue = queue or channel.last_queue
        asked = Subscription(queue, queue == self._queue, bool(bits & 2), tag)
        data = {"consumer": tag, "source": asked.source, "auto_ack": asked.auto_ack, "prefetch": channel.prefetch}
        seen = [Sighting(Kind.SUBSCRIBE, data=data)]
        if asked.source and asked.auto_ack:
            seen += self._advise("auto_ack")
        elif asked.source and not channel.prefetch:
            seen += self._advise("unlimited_prefetch")
        if bits & 8:  # no-wait: no answer will come
            seen += self._subscribed(channel, asked)
        else:
            channel.consumes.append(asked)
        return Read(seen)

    def _consume_ok(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        if not channel.consumes:
            return _NOTHING
        answered = channel.consumes.popleft()
        answered.tag = args[0]
        return Read(self._subscribed(channel, answered))

    def _subscribed(self, channel: Channel, consumer: Subscription) -> list[Sighting]:
        channel.consumers[consumer.tag] = consumer
        return [Sighting(Kind.SUBSCRIBED, data={"consumer": consumer.tag, "source": consumer.source})]

    def _client_cancel(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        tag, bits = args
        if not bits & 1:
            return _NOTHING  # deliveries may come until cancel-ok
        return Read(self._unsubscribed(channel.consumers.get(tag)))

    def _cancelled(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return Read(self._unsubscribed(channel.consumers.pop(args[0], None)))

    def _unsubscribed(self, consumer: Subscription | None) -> list[Sighting]:
        if consumer is None:
            return []
        return [Sighting(Kind.UNSUBSCRIBED, data={"consumer": consumer.tag, "source": consumer.source})]

    # -- publishes ---------------------------------------------------------------------------------------------------

    def _confirm_select(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        channel.confirms = True
        return _NOTHING

    def _tx_select(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        channel.tx = True
        return Read(self._advise("tx"))

    def _publish(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        _, exchange, routing_key, bits = args
        key = self._key(stretch)
        source = self._routes.is_source(exchange, routing_key, key is not None)
        if channel.confirms:
            channel.published += 1
            channel.unconfirmed.add(channel.published, key if source else None)
        to = f"{exchange}/{routing_key}"
        if key is None or not source:
            return Read(self._other(key, source, "publish", to, stretch))
        persistent, mandatory = m.is_persistent(stretch.header), bool(bits & 1)
        data = {"confirms": channel.confirms, "persistent": persistent, "mandatory": mandatory, "to": to}
        seen = [Sighting(Kind.PUBLISH, (key,), data)]
        if not channel.confirms and not channel.tx:
            seen += self._advise("no_confirms", key)
        if not persistent:
            seen += self._advise("transient", key)
        if not mandatory:
            seen += self._advise("not_mandatory", key)
        return Read(seen)

    def _confirm_ack(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return self._confirm(channel, args[0], bool(args[1] & 1), ok=True)

    def _confirm_nack(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return self._confirm(channel, args[0], bool(args[1] & 1), ok=False)

    def _confirm(self, channel: Channel, tag: int, multiple: bool, ok: bool) -> Read:
        covered = channel.unconfirmed.take(tag, multiple)
        keys = keys_of(covered)
        return Read([Sighting(Kind.CONFIRM, keys, {"ok": ok})] if keys else [], tuple(covered))

    def _return(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        code, text, exchange, routing_key = args
        key = self._key(stretch)
        source = self._routes.is_source(exchange, routing_key, key is not None)
        if key is None or not source:
            return Read(self._other(key, False, "return", f"{exchange}/{routing_key}", stretch))
        channel.unconfirmed.returned(key)
        return Read([Sighting(Kind.RETURNED, (key,), {"reason": f"{code} {text}"})])

    # -- deliveries --------------------------------------------------------------------------------------------------

    def _deliver(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        tag, number, bits = args
        consumer = channel.consumers.get(tag) or Subscription("", False, False, tag)
        return self._delivered(channel, consumer, number, bool(bits & 1), "push", stretch)

    def _get(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        _, queue, bits = args
        queue = queue or channel.last_queue
        asked = Subscription(queue, queue == self._queue, bool(bits & 1))
        channel.gets.append(asked)
        return Read(self._advise("auto_ack") if asked.source and asked.auto_ack else [])

    def _get_ok(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        number, bits = args
        asked = channel.gets.popleft() if channel.gets else Subscription("", False, False)
        return self._delivered(channel, asked, number, bool(bits & 1), "get", stretch)

    def _get_empty(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        if channel.gets:
            channel.gets.popleft()
        return _NOTHING

    def _delivered(
        self, channel: Channel, consumer: Subscription, number: int, redelivered: bool, how: str, stretch: Stretch
    ) -> Read:
        key = self._key(stretch)
        if not consumer.auto_ack:
            channel.unsettled.add(number, key if consumer.source else None)
        if key is None or not consumer.source:
            return Read(self._other(key, consumer.source, "deliver", consumer.queue, stretch))
        data = {"redelivered": redelivered, "settled": consumer.auto_ack, "how": how}
        return Read([Sighting(Kind.DELIVER, (key,), data)])

    def _ack(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return self._settle(channel, args[0], bool(args[1] & 1), "ack", False)

    def _nack(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return self._settle(channel, args[0], bool(args[1] & 1), "nack", bool(args[1] & 2))

    def _reject(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        return self._settle(channel, args[0], False, "reject", bool(args[1] & 1))

    def _recover(self, channel: Channel, args: m.Arguments, stretch: Stretch) -> Read:
        # RabbitMQ puts everything unsettled back, as a nack of all would; it refuses recovery without requeue.
        return self._settle(channel, 0, True, "nack", True) if args[0] & 1 else _NOTHING

    def _settle(self, channel: Channel, tag: int, multiple: bool, how: str, requeue: bool) -> Read:
        keys = keys_of(channel.unsettled.take(tag, multiple))
        data = {"how": how, "requeue": requeue, "multiple": multiple}
        return Read([Sighting(Kind.SETTLE, keys, data)] if keys else [])

    # -- keys --------------------------------------------------------------------------------------------------------

    def _key(self, stretch: Stretch) -> str | None:
        find = self._finder.find
        if self._place:
            properties, headers = m.read_properties(stretch.header)
            there = self._place.read(headers=headers, properties=properties, body=stretch.body)
            return find(there.encode()) if there is not None else None
        found = find(stretch.header, stretch.body)
        if found or self._finder.nonce.encode() not in stretch.header:
            return found
        # In the raw header a length byte may stand beside the key and look like a letter or a digit.
        properties, headers = m.read_properties(stretch.header)
        return find(*(text.encode() for text in (*properties.values(), *headers.values())))

    def _other(self, key: str | None, source: bool, what: str, to: str, stretch: Stretch) -> list[Sighting]:
        """A message that is not one of the source's with a key."""
        if key is not None:
            return [Sighting(Kind.ASIDE, (key,), {"what": what, "to": to})]
        foreign = self._finder.foreign(stretch.header, stretch.body)
        if foreign:
            return [Sighting(Kind.FOREIGN_KEY, data={"found": foreign})]
        return [Sighting(Kind.UNKEYED, data={"what": what, "place": to})] if source else []

    def _advise(self, code: str, key: str | None = None) -> list[Sighting]:
        """Each code once per connection."""
        if code in self._advised:
            return []
        self._advised.add(code)
        return [Sighting(Kind.ADVICE, (key,) if key else (), {"code": code, "detail": ADVICE[code]})]
