"""The few methods of AMQP 0-9-1 that matter here, read up to the last field that matters, and content headers.

Argument tables come last in each method and are never read, so that no client's odd value can stop the reading.
Passwords (in connection.start-ok, secure-ok, update-secret) stand in methods that are not in the table: never decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

from pamqp import header as pamqp_header

_IDS = struct.Struct(">HH")


def _id(class_: int, method: int) -> bytes:
    """As it stands at the start of a method's payload."""
    return _IDS.pack(class_, method)


TUNE_OK = _id(10, 31)
CONNECTION_CLOSE = _id(10, 50)
BLOCKED = _id(10, 60)
UNBLOCKED = _id(10, 61)
CHANNEL_OPEN = _id(20, 10)
CHANNEL_CLOSE = _id(20, 40)
CHANNEL_CLOSE_OK = _id(20, 41)
EXCHANGE_DECLARE = _id(40, 10)
QUEUE_DECLARE = _id(50, 10)
QUEUE_DECLARE_OK = _id(50, 11)
QUEUE_BIND = _id(50, 20)
QOS = _id(60, 10)
CONSUME = _id(60, 20)
CONSUME_OK = _id(60, 21)
CANCEL = _id(60, 30)
CANCEL_OK = _id(60, 31)
PUBLISH = _id(60, 40)
RETURN = _id(60, 50)
DELIVER = _id(60, 60)
GET = _id(60, 70)
GET_OK = _id(60, 71)
GET_EMPTY = _id(60, 72)
ACK = _id(60, 80)
REJECT = _id(60, 90)
RECOVER_ASYNC = _id(60, 100)
RECOVER = _id(60, 110)
NACK = _id(60, 120)
CONFIRM_SELECT = _id(85, 10)
TX_SELECT = _id(90, 10)

BEARS_CONTENT = frozenset({PUBLISH, RETURN, DELIVER, GET_OK})

FIELDS: dict[bytes, str] = {
    TUNE_OK: "HIH",  # channel-max, frame-max, heartbeat
    CONNECTION_CLOSE: "Hs",  # reply-code, reply-text
    BLOCKED: "s",  # reason
    UNBLOCKED: "",
    CHANNEL_OPEN: "",
    CHANNEL_CLOSE: "Hs",  # reply-code, reply-text
    CHANNEL_CLOSE_OK: "",
    EXCHANGE_DECLARE: "Hss",  # reserved, exchange, type
    QUEUE_DECLARE: "Hs",  # reserved, queue
    QUEUE_DECLARE_OK: "s",  # queue
    QUEUE_BIND: "Hsss",  # reserved, queue, exchange, routing-key
    QOS: "IHB",  # prefetch-size, prefetch-count, bits: global
    CONSUME: "HssB",  # reserved, queue, consumer-tag, bits: no-local, no-ack, exclusive, no-wait
    CONSUME_OK: "s",  # consumer-tag
    CANCEL: "sB",  # consumer-tag, bits: no-wait
    CANCEL_OK: "s",  # consumer-tag
    PUBLISH: "HssB",  # reserved, exchange, routing-key, bits: mandatory, immediate
    RETURN: "Hsss",  # reply-code, reply-text, exchange, routing-key
    DELIVER: "sQB",  # consumer-tag, delivery-tag, bits: redelivered
    GET: "HsB",  # reserved, queue, bits: no-ack
    GET_OK: "QB",  # delivery-tag, bits: redelivered
    GET_EMPTY: "",
    ACK: "QB",  # delivery-tag, bits: multiple
    REJECT: "QB",  # delivery-tag, bits: requeue
    RECOVER_ASYNC: "B",  # bits: requeue
    RECOVER: "B",  # bits: requeue
    NACK: "QB",  # delivery-tag, bits: multiple, requeue
    CONFIRM_SELECT: "",
    TX_SELECT: "",
}
"""s: short string; else struct's letters. Bits count from the lowest."""

_SIZES = {letter: struct.Struct(">" + letter) for letter in "BHIQ"}
_TAG_AND_BITS = struct.Struct(">QB")
Arguments = Sequence[Any]


def read_method(fields: str, payload: bytes) -> Arguments:
    """The method's first fields. Raises struct.error or IndexError where the payload ends too early."""
    at, values = 4, []
    for letter in fields:
        if letter == "s":
            end = at + 1 + payload[at]
            if end > len(payload):
                raise IndexError(f"a short string of {payload[at]} bytes in a method that ends after {len(payload)}")
            values.append(payload[at + 1 : end].decode("utf-8", "replace"))
            at = end
        else:
            shape = _SIZES[letter]
            values.append(shape.unpack_from(payload, at)[0])
            at += shape.size
    return values


def _read_acknowledgement(payload: bytes) -> Arguments:
    return _TAG_AND_BITS.unpack_from(payload, 4)


def _read_deliver(payload: bytes) -> Arguments:
    end = 5 + payload[4]
    return (payload[5:end].decode("utf-8", "replace"), *_TAG_AND_BITS.unpack_from(payload, end))


READERS: dict[bytes, Callable[[bytes], Arguments]] = {
    **{method: partial(read_method, fields) for method, fields in FIELDS.items()},
    **{method: _read_acknowledgement for method, fields in FIELDS.items() if fields == "QB"},
    DELIVER: _read_deliver,
    PUBLISH: lru_cache(256)(partial(read_method, FIELDS[PUBLISH])),
}
"""Each as `read_method` does it. Those of every message are made for speed: a service publishes to few places."""


_CONTENT_TYPE, _CONTENT_ENCODING, _HEADERS, _DELIVERY_MODE = 1 << 15, 1 << 14, 1 << 13, 1 << 12


def is_persistent(header: bytes) -> bool:
    """Whether a content header's payload says delivery-mode 2. Raises as `read_method` does."""
    flags = header[12] << 8 | header[13]
    if not flags & _DELIVERY_MODE:
        return False
    at = 14
    if flags & _CONTENT_TYPE:
        at += 1 + header[at]
    if flags & _CONTENT_ENCODING:
        at += 1 + header[at]
    if flags & _HEADERS:
        at += 4 + _SIZES["I"].unpack_from(header, at)[0]
    return header[at] == 2


def read_properties(header: bytes) -> tuple[dict[str, str], dict[str, str]]:
    """Properties (`message_id`, …) and headers in a content header's payload, as text; empty if undecodable."""
    content = pamqp_header.ContentHeader()
    try:
        content.unmarshal(header)
    except Exception:  # pamqp has no one error for a table it cannot read
        return {}, {}
    return _texts(content.properties), _texts((content.properties.headers or {}).items())


def _texts(items: Iterable[tuple[str, object]]) -> dict[str, str]:
    texts = {}
    for name, value in items:
        if isinstance(value, bytes | bytearray):
            texts[name] = value.decode("utf-8", "replace")
        elif isinstance(value, str | int):
            texts[name] = str(value)
    return texts
