"""RESP2 and RESP3 framed by hand: bytes go in, cut anywhere; whole commands or replies come out with their exact bytes.

Parsers of Redis clients give values but no byte boundaries, and without boundaries nothing can be held or cut.
Source of the rules: the Redis serialization protocol specification, sections RESP2, RESP3 and inline commands.

    framer = Framer(requests=True)
    framer.feed(b"*1\\r\\n$4\\r\\nPING\\r\\n")
    framer.next()     # Frame(data=b"*1\\r\\n$4\\r\\nPING\\r\\n", kind="*", value=[b"PING"])
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

MAX_LINE = 64 * 1024
"""Longest inline command or header line, as in Redis (PROTO_INLINE_MAX_SIZE); error replies are far shorter."""
MAX_BULK = 512 * 1024 * 1024
"""Redis's default proto-max-bulk-len."""
MAX_FRAME = 64 << 20
MAX_VALUES = 1 << 20
"""Bounds of what is kept of one command or reply until it is whole: nobody's length field may cost more memory."""

_NUMBER = re.compile(rb"[+-]?\d{1,20}")
_HEAD = re.compile(rb"[*$:](\d{1,9})\r\n")
_ARRAY, _BULK = b"*$"
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_AGGREGATES = {"*": 1, "~": 1, ">": 1, "%": 2, "|": 2}
"""Values per counted item: maps and attributes count pairs."""
_BULKS = "$=!"


class Malformed(Exception):
    """Bytes that are not RESP; the message says in words what stands there instead."""


class ErrorReply(bytes):
    """An error, simple or bulk: `ERR wrong type …`."""


Value: TypeAlias = "bytes | int | list[Value] | None"
"""Strings of every kind, doubles, booleans and big numbers are bytes; a map is a flat list of keys and values."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One command or one reply."""

    data: bytes
    kind: str
    """The type byte (behind any attributes), or `inline`."""
    value: Value


@dataclass(slots=True)
class _Aggregate:
    kind: str
    due: int
    items: list[Value]


class Framer:
    """One direction of one connection. Resumes where it stopped: a large bulk in small pieces is scanned once."""

    def __init__(self, requests: bool) -> None:
        """`requests`: clients send arrays of bulk strings, or inline commands, and nothing else."""
        self._requests = requests
        self._what = "command" if requests else "reply"
        self._buffer = bytearray()
        self._at = 0
        """Where the next value of the current frame starts."""
        self._searched = 0
        """Up to here the current line holds no end of line."""
        self._open: list[_Aggregate] = []
        self._values = 0
        """How many values the current frame has announced."""
        self._kind = ""
        self._value: Value = None

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def rest(self) -> bytes:
        """All that was fed and has not come out; the framer is then empty."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next(self) -> Frame | None:
        """The next whole frame, or None until more is fed. Raises Malformed; `rest` then has the bytes."""
        buffer = self._buffer
        if buffer and not self._at and (frame := self._in_one_piece()):
            return frame
        while self._at < len(buffer):
            kind = chr(buffer[self._at])
            if self._at == 0 and self._requests and kind != "*":
                return self._inline()
            if kind not in ("$" if self._requests and self._at else "$*+-:_#,(!=%~>|"):
                raise Malformed(self._what_stands_there())
            end = self._end_of_line(b"\r\n")
            if end is None:
                return None
            line = bytes(buffer[self._at + 1 : end])
            after = end + 2
            value: Value
            if kind in _AGGREGATES:
                count = self._number(line, 2**31 - 1)
                if count > 0:
                    self._values += count
                    self._bound("values", self._values, MAX_VALUES)
                    if not self._open and kind != "|":
                        self._kind = kind
                    self._open.append(_Aggregate(kind, count * _AGGREGATES[kind], []))
                    self._go_on(after)
                    continue
                if kind == "|":
                    self._go_on(after)
                    continue
                value = [] if count == 0 else None
            elif kind in _BULKS:
                length = self._number(line, MAX_BULK)
                if length < 0:
                    if self._requests:
                        raise Malformed(f"not RESP: an argument of length {length}")
                    value = None
                else:
                    start, after = after, after + length + 2
                    self._bound("bytes", after, MAX_FRAME)
                    if len(buffer) < after:
                        return None
                    if buffer[after - 2 : after] != b"\r\n":
                        raise Malformed(f"not RESP: a bulk string of {length} bytes that does not end where it says")
                    value = bytes(buffer[start : after - 2])
                    if kind == "!":
                        value = ErrorReply(value)
                    elif kind == "=":
                        value = value[4:]  # `txt:` or `mkd:`
            elif kind == ":":
                value = self._number(line)
            elif kind == "-":
                value = ErrorReply(line)
            else:
                value = None if kind == "_" else line
            if not self._open:
                self._kind = kind
            self._go_on(after)
            if self._place(value):
                return self._cut()
        return None

    def _in_one_piece(self) -> Frame | None:
        """What nearly all frames are: an array of bulk strings, one of them or a number, whole. It judges nothing."""
        buffer = self._buffer
        head = _HEAD.match(buffer)
        if not head or (self._requests and buffer[0] != _ARRAY):
            return None
        kind, number, at = buffer[0], int(head[1]), head.end()
        value: Value = number
        if kind == _ARRAY:
            items: list[Value] = []
            for _ in range(number if number <= MAX_VALUES else 0):
                head = _HEAD.match(buffer, at)
                if not head or buffer[at] != _BULK:
                    return None
                start, at = head.end(), head.end() + int(head[1]) + 2
                if buffer[at - 2 : at] != b"\r\n":
                    return None
                items.append(bytes(buffer[start : at - 2]))
            value = items
            if not items:
                return None
        elif kind == _BULK:
            start, at = at, at + number + 2
            if buffer[at - 2 : at] != b"\r\n":
                return None
            value = bytes(buffer[start : at - 2])
        if at > MAX_FRAME:
            return None
        data = bytes(buffer[:at])
        del buffer[:at]
        self._searched = 0
        return Frame(data, chr(kind), value)

    def _go_on(self, at: int) -> None:
        self._at = self._searched = at
        self._bound("bytes", at, MAX_FRAME)

    def _bound(self, what: str, found: int, most: int) -> None:
        if found > most:
            raise Malformed(f"a {self._what} of {found} {what} or more: the tap keeps at most {most} until it is whole")

    def _place(self, value: Value) -> bool:
        """Puts a value where it belongs; True when the frame is whole (`_value` has it)."""
        while self._open:
            top = self._open[-1]
            top.items.append(value)
            top.due -= 1
            if top.due:
                return False
            self._open.pop()
            if top.kind == "|":
                return False  # attributes only go before a value: that one is still to come
            value = top.items
        self._value = value
        return True

    def _cut(self) -> Frame:
        data = bytes(self._buffer[: self._at])
        del self._buffer[: self._at]
        self._go_on(0)
        self._values = 0
        return Frame(data, self._kind, self._value)

    def _inline(self) -> Frame | None:
        """A line of words. Quotes are not read: enough to pair it with its reply, and people type it, not programs."""
        buffer = self._buffer
        if not (chr(buffer[0]).isascii() and (chr(buffer[0]).isalpha() or buffer[0] in b"\r\n \t")):
            raise Malformed(self._what_stands_there())
        end = self._end_of_line(b"\n")
        line = bytes(buffer[: len(buffer) if end is None else end])
        if _CONTROL.search(line):
            raise Malformed("not RESP: control characters in what would be an inline command")
        if end is None:
            return None
        self._kind, self._value = "inline", list(line.split())
        self._go_on(end + 1)
        return self._cut()

    def _end_of_line(self, mark: bytes) -> int | None:
        end = self._buffer.find(mark, self._searched, self._at + MAX_LINE)
        if end >= 0:
            return end
        if len(self._buffer) - self._at >= MAX_LINE:
            raise Malformed(f"not RESP: a line longer than {MAX_LINE} bytes")
        self._searched = max(self._at, len(self._buffer) - 1)
        return None

    def _number(self, line: bytes, most: int | None = None) -> int:
        """Of an integer reply any; of a count or length, -1 (null) to `most`."""
        if not _NUMBER.fullmatch(line):
            if line == b"?":
                raise Malformed("a streamed RESP3 value, which Redis does not send")
            raise Malformed(f"not RESP: expected a number, found {line[:20]!r}")
        number = int(line)
        if most is not None and not -1 <= number <= most:
            raise Malformed(f"not RESP: a count or length of {number}")
        return number

    def _what_stands_there(self) -> str:
        found = bytes(self._buffer[self._at : self._at + 8])
        if self._requests and found[0] == 0x16:
            return "a TLS ClientHello: the tap reads plain RESP only, so connect by redis://, not rediss://"
        who, wanted = ("client", "* or $") if self._requests else ("server", "a RESP type")
        return f"not RESP: expected {wanted} from the {who}, found {found!r}"
