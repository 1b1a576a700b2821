"""The harness as producer on RabbitMQ: publisher confirms, mandatory, any number in flight, no re-send of its own.

In: where to connect, and messages. Out: one completion for each message.
To try it: `suites/conformance/test_brokers_rabbitmq.py`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop

from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.plugin import Completion, Message, Outcome

CONNECT_WITHIN_S = 10.0
CLOSE_WITHIN_S = 5.0


@dataclass(slots=True)
class _Sent:
    message: Message
    properties: Any
    returned: str | None = None


class RabbitMQProducer:
    """Implements `ports.plugin.BrokerProducer`; one thread sends and asks for completions.

    A returned message, and one that was nacked, is FAIL. When the connection is lost, what was in flight is INFO; the
    next send connects once more, and is FAIL if it cannot: no byte of it was sent.
    """

    def __init__(self, parameters: pika.ConnectionParameters, exchange: str, routing_key: str) -> None:
        """Connects. Raises HarnessBroke if the broker does not take the connection."""
        self._parameters = parameters
        self._to = exchange, routing_key
        self._done: queue.SimpleQueue[list[Completion]] = queue.SimpleQueue()
        """In batches: who hears of a lost connection hears of all that was lost with it."""
        self._incomplete = 0
        self._session = _Session(parameters, self._to, self._done)

    def send(self, message: Message) -> None:
        """Hands it over without waiting, but for a lost connection: that is opened again first."""
        self._incomplete += 1
        if self._session.lost is not None:
            try:
                self._session.close()
                self._session = _Session(self._parameters, self._to, self._done)
            except HarnessBroke as error:
                self._done.put([Completion(message.key, Outcome.FAIL, f"not sent: {error}")])
                return
        self._session.send(message)

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        """What completed since the last call; waits up to `timeout_s` for the first, if any is still to come."""
        found: list[Completion] = []
        try:
            while self._incomplete:
                batch = self._done.get(timeout=0 if found else timeout_s)
                self._incomplete -= len(batch)
                found += batch
        except queue.Empty:
            pass
        return found

    def close(self) -> None:
        """Leaves no thread and no socket; what was in flight completes as INFO. Raises HarnessBroke if it cannot."""
        self._session.close()


class _Session:
    """One connection, with pika's loop in a thread of its own; `lost` says why it ended."""

    def __init__(
        self, parameters: pika.ConnectionParameters, to: tuple[str, str], done: queue.SimpleQueue[list[Completion]]
    ) -> None:
        self.lost: str | None = None
        self._to = to
        self._done = done
        self._outstanding: dict[int, _Sent] = {}
        self._waiting: list[Message] = []
        """Handed over, not yet published: those that the loop has not come to."""
        self._lock = threading.Lock()
        """Guards what both threads touch: `lost`, `_waiting`, `_ended`."""
        self._ended = False
        self._published = 0
        self._ready = threading.Event()
        self._channel: Any = None
        self._loop = IOLoop()
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._gone,
            on_close_callback=self._gone,
            custom_ioloop=self._loop,
        )
        self._thread = threading.Thread(target=self._run, name="rabbitmq-producer", daemon=True)
        self._thread.start()
        ready = self._ready.wait(CONNECT_WITHIN_S)
        if self.lost is not None or not ready:
            why = self.lost or f"no answer within {CONNECT_WITHIN_S:g} s"
            self.close()
            where = f"{parameters.host}:{parameters.port}, vhost {parameters.virtual_host!r}"
            raise HarnessBroke(f"the harness's own producer cannot connect to RabbitMQ at {where}: {why}")

    def send(self, message: Message) -> None:
        with self._lock:
            if self.lost is None:
                self._waiting.append(message)
                self._loop.add_callback_threadsafe(self._publish_waiting)
                return
        self._done.put([Completion(message.key, Outcome.FAIL, f"not sent: {self.lost}")])

    def close(self) -> None:
        """Leaves no thread and no socket; what was in flight completes as INFO. Raises HarnessBroke if it cannot."""
        for way in (self._shut, self._loop.stop):
            with self._lock:
                if not self._ended:
                    self._loop.add_callback_threadsafe(way)
            self._thread.join(CLOSE_WITHIN_S)
            if not self._thread.is_alive():
                return
        raise HarnessBroke("the loop of the harness's own RabbitMQ producer does not end")

    # -- in the loop's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._loop.start()
        finally:
            self._lose("closed")
            with self._lock:
                self._ended = True
                self._loop.close()

    def _shut(self) -> None:
        if self._connection.is_open:
            self._connection.close()
        elif not self._connection.is_closing:
            self._loop.stop()

    def _opened(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._confirming(channel))

    def _confirming(self, channel: Any) -> None:
        self._channel = channel
        self._ready.set()

    def _channel_closed(self, _: Any, error: BaseException) -> None:
        self._lose(_words(error))
        if self._connection.is_open:
            self._connection.close()

    def _publish_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for message in waiting:
            self._publish(message)

    def _publish(self, message: Message) -> None:
        try:
            properties = make_properties(message)
            self._channel.basic_publish(*self._to, message.body, properties, mandatory=True)
        except Exception as error:  # nothing was written: pika checks and encodes before it sends
            self._done.put([Completion(message.key, Outcome.FAIL, f"not sent: {_words(error)}")])
            return
        self._published += 1
        self._outstanding[self._published] = _Sent(message, properties)

    def _returned(self, _: Any, method: Any, properties: Any, body: bytes) -> None:
        """A return comes before its confirm, without a number: it is the oldest in flight that looks most like it."""
        candidates = [sent for sent in self._outstanding.values() if sent.returned is None]
        if candidates:
            sent = max(
                candidates,
                key=lambda each: (each.message.body == body, each.properties.message_id == properties.message_id),
            )
            sent.returned = str(method.reply_text)

    def _confirmed(self, frame: Any) -> None:
        method = frame.method
        tag, ok = method.delivery_tag, isinstance(method, pika.spec.Basic.Ack)
        covered = [each for each in self._outstanding if each <= tag] if method.multiple else [tag]
        sent = [self._outstanding.pop(each) for each in covered if each in self._outstanding]
        self._done.put([_completion(each, ok) for each in sent])

    def _gone(self, _: Any, error: BaseException) -> None:
        """The connection is closed, or was not opened: only now may the loop end, or pika leaves a socket open."""
        self._lose(_words(error))
        self._loop.stop()

    def _lose(self, why: str) -> None:
        """Nobody will ever say more of what was in flight."""
        with self._lock:
            if self.lost is None:
                self.lost = why
            waiting, self._waiting = self._waiting, []
        outstanding, self._outstanding = self._outstanding, {}
        doubt = [Completion(sent.message.key, Outcome.INFO, f"connection lost: {why}") for sent in outstanding.values()]
        if ended := doubt + [Completion(message.key, Outcome.FAIL, f"not sent: {why}") for message in waiting]:
            self._done.put(ended)
        self._ready.set()


def _completion(sent: _Sent, ok: bool) -> Completion:
    """RabbitMQ confirms what it has returned, too: no queue has it."""
    if sent.returned is not None:
        return Completion(sent.message.key, Outcome.FAIL, f"returned: {sent.returned}")
    return Completion(sent.message.key, Outcome.OK) if ok else Completion(sent.message.key, Outcome.FAIL, "nacked")


def make_properties(message: Message) -> pika.BasicProperties:
    """message_id = key, and persistent, unless the workload's properties say otherwise; TypeError on an unknown one."""
    wanted: dict[str, Any] = {"message_id": message.key, "delivery_mode": 2, **message.properties}
    headers: Mapping[str, Any] = {**message.headers, **(wanted.pop("headers", None) or {})}
    return pika.BasicProperties(headers=dict(headers) or None, **wanted)


def _words(error: BaseException) -> str:
    """What the broker said, where it said something."""
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    return f"{code} {text}" if code is not None else str(error) or repr(error)
