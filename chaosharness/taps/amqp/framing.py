"""Bytes of one direction in, whole frames and whole messages out, to the byte (AMQP 0-9-1, section 4.2).

A message (publish, return, deliver, get-ok) is its method, header and body frames, assembled per channel. Frames
of other channels that stand between them come out first, which the protocol allows: order is a channel's own.

Nearly all messages stand in one piece in what one read brought: those are cut out as one, without assembly.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

from chaosharness.ports.wire import Side
from chaosharness.taps.amqp.methods import BEARS_CONTENT

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
PROTOCOL = ord("A")
"""Not a frame type: the protocol header that a client opens with, and a server refuses with."""

_FRAME_END = 0xCE
_HEAD = struct.Struct(">BHI")
_CONTENT_HEAD = struct.Struct(">BHIIQ")
"""A head, then class and weight, then the size of the body."""
_BODY_SIZE = struct.Struct(">Q")
_LEAST_HEADER = 22
"""Head 7, class 2, weight 2, body size 8, flags 2, end 1."""
_LEAST_METHOD = 12
_SPOKEN = (b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\x09\x01")
"""The header of the specification, and the one that Qpid's 0-9-1 clients send."""
BEFORE_TUNE = 1 << 20
"""Bound on one frame before connection.tune-ok: beyond it, it is no frame."""
UNLIMITED = MAX_KEPT = 128 << 20
"""Bound on one frame where tune-ok sets none, and on all that is kept of messages until they are whole: RabbitMQ takes
no larger message, and nobody's length field may cost more memory."""


class Malformed(Exception):
    """Not AMQP 0-9-1; the message says what stood there and what was expected."""


@dataclass(slots=True)
class Stretch:
    """One frame, or one message; `data` is its bytes, the rest are payloads."""

    kind: int
    channel: int
    data: bytes
    method: bytes = b""
    header: bytes = b""
    body: bytes = b""


@dataclass(slots=True)
class _Message:
    method: bytes
    frames: list[bytes]
    header: bytes = b""
    bodies: list[bytes] = field(default_factory=list)
    missing: int = 0
    kept: int = 0
    """Bytes that it has, and those that its header promises."""


class Framer:
    """One direction of one connection."""

    def __init__(self, side: Side) -> None:
        self.limit = BEFORE_TUNE
        self._side = side
        self._data = b""
        self._at = 0
        """What comes before this in `_data` has come out."""
        self._late: list[bytes] = []
        """Behind `_data`, not joined to it before enough is there for a frame: a large one is copied once or twice."""
        self._missing = 0
        """Bytes without which there is no next frame."""
        self._opened = False
        self._messages: dict[int, _Message] = {}
        self._kept = 0
        """Bytes in the messages that are not whole."""
        self._ready: deque[Stretch] = deque()

    def push(self, data: bytes) -> None:
        if self._at == len(self._data):
            self._data, self._at, self._missing = data, 0, 0
            return
        self._late.append(data)
        self._missing -= len(data)
        if self._missing <= 0:
            self._data = b"".join((self._data[self._at :], *self._late))
            self._at = 0
            self._late.clear()

    def next(self) -> Stretch | None:
        """The next whole stretch, or None until more is pushed. Raises Malformed; `rest` then has what is left."""
        ready = self._ready
        if self._opened and not ready and (stretch := self._in_one_piece()):
            return stretch
        while not ready and self._missing <= 0:
            if not (self._frame() if self._opened else self._open()):
                return None
        return ready.popleft() if ready else None

    def rest(self) -> bytes:
        """All that was pushed and has not come out, in an order that keeps each channel's; forgets it."""
        parts = [stretch.data for stretch in self._ready]
        parts += [frame for message in self._messages.values() for frame in message.frames]
        parts += (self._data[self._at :], *self._late)
        self._ready.clear()
        self._messages.clear()
        self._late.clear()
        self._data, self._at, self._missing = b"", 0, 0
        return b"".join(parts)

    def _open(self) -> bool:
        """Reads a protocol header, which a client must send and a server sends only to refuse."""
        start = self._data[:8]
        if not start:
            return False
        if start[0] in (0x15, 0x16):
            _refuse_tls(start, self._side)
        if self._side is Side.SERVER and start[0] != PROTOCOL:
            self._opened = True
            return True
        if not b"AMQP".startswith(start[:4]):
            raise Malformed(f"expected an AMQP protocol header, found {start!r}")
        if len(start) < 8:
            return self._lacks(len(start) + 1)  # each byte is judged as it comes
        if self._side is Side.CLIENT and start not in _SPOKEN:
            raise Malformed(f"expected AMQP 0-9-1, the client opens with {start!r}: that version is not read here")
        self._opened = True
        self._at = 8
        self._ready.append(Stretch(PROTOCOL, 0, start))
        return True

    def _lacks(self, size: int) -> bool:
        """Nothing comes out before so many bytes are there."""
        self._missing = self._at + size - len(self._data)
        return False

    def _in_one_piece(self) -> Stretch | None:
        """What is next, if it is a whole method or a whole message in one piece. It judges nothing: `_frame` does."""
        data, at = self._data, self._at
        there, limit = len(data), self.limit
        if there - at < _LEAST_METHOD:
            return None
        kind, channel, size = _HEAD.unpack_from(data, at)
        end = method_end = at + size + 8
        if kind != METHOD or size > limit or end > there or data[end - 1] != _FRAME_END or channel in self._messages:
            return None
        method = data[at + 7 : end - 1]
        if method[:4] not in BEARS_CONTENT:
            self._at = end
            return Stretch(METHOD, channel, data[at:end], method)
        if there - end < _LEAST_HEADER:
            return None
        kind, its_channel, size, _, due = _CONTENT_HEAD.unpack_from(data, end)
        end = header_end = end + size + 8
        if kind != HEADER or its_channel != channel or size < _LEAST_HEADER - 8 or size > limit:
            return None
        if end > there or data[end - 1] != _FRAME_END:
            return None
        if due:
            if there - end < 8:
                return None
            kind, its_channel, size = _HEAD.unpack_from(data, end)
            end += size + 8
            if kind != BODY or its_channel != channel or size != due or size > limit:
                return None
            if end > there or data[end - 1] != _FRAME_END:
                return None
        self._at = end
        header, body = data[method_end + 7 : header_end - 1], data[header_end + 7 : end - 1]
        return Stretch(METHOD, channel, data[at:end], method, header, body)

    def _frame(self) -> bool:
        """Takes one frame of any kind. False until it is whole."""
        data, at = self._data, self._at
        left = len(data) - at
        if not left:
            return False
        if data[at] not in (METHOD, HEADER, BODY, HEARTBEAT):
            raise Malformed(f"expected a frame of type 1, 2, 3 or 8, found {data[at : at + 8]!r}")
        if left < 7:
            return self._lacks(7)
        kind, channel, size = _HEAD.unpack_from(data, at)
        if size > self.limit:
            raise Malformed(f"expected a frame of at most {self.limit} bytes, found one of {size}")
        if left < size + 8:
            return self._lacks(size + 8)
        end = at + size + 8
        if data[end - 1] != _FRAME_END:
            raise Malformed(f"expected the frame end 0xce after {size} bytes, found {data[end - 1]:#x}")
        self._at = end
        self._take(kind, channel, data[at:end])
        return True

    def _take(self, kind: int, channel: int, raw: bytes) -> None:
        message = self._messages.get(channel)
        if kind == METHOD:
            if message:  # a client that saw its channel closed half-way: the server drops the half too
                self._flush(channel)
            payload = raw[7:-1]
            if payload[:4] in BEARS_CONTENT:
                self._messages[channel] = message = _Message(payload, [raw])
                self._keep(message, len(raw))
            else:
                self._ready.append(Stretch(METHOD, channel, raw, payload))
        elif message and kind == HEADER and not message.header and len(raw) >= _LEAST_HEADER:
            message.frames.append(raw)
            message.header = raw[7:-1]
            message.missing = _BODY_SIZE.unpack_from(message.header, 4)[0]
            self._keep(message, len(raw) + message.missing)
            self._complete(channel, message)
        elif message and kind == BODY and message.header:
            message.frames.append(raw)
            message.bodies.append(raw[7:-1])
            message.missing -= len(raw) - 8
            self._complete(channel, message)
        else:
            if message and kind != HEARTBEAT:
                self._flush(channel)
            self._ready.append(Stretch(kind, channel, raw))

    def _keep(self, message: _Message, size: int) -> None:
        message.kept += size
        self._kept += size
        if self._kept > MAX_KEPT:
            raise Malformed(f"messages of {self._kept} bytes: the tap keeps at most {MAX_KEPT} until they are whole")

    def _complete(self, channel: int, message: _Message) -> None:
        if message.missing > 0:
            return
        del self._messages[channel]
        self._kept -= message.kept
        data, body = b"".join(message.frames), b"".join(message.bodies)
        self._ready.append(Stretch(METHOD, channel, data, message.method, message.header, body))

    def _flush(self, channel: int) -> None:
        """Passes on the frames of a message that will not be completed; what it would have been is nobody's."""
        message = self._messages.pop(channel)
        self._kept -= message.kept
        self._ready.append(Stretch(BODY, channel, b"".join(message.frames)))


def _refuse_tls(start: bytes, side: Side) -> None:
    if side is Side.CLIENT:
        raise Malformed(
            "expected AMQP in plain text, found a TLS ClientHello: give the service an amqp:// address, not amqps://"
        )
    raise Malformed(f"expected AMQP in plain text, the server speaks TLS: {start!r}")
