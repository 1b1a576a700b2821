"""What the tests of the HTTP sink share: a scenario with a sink in a real relay, and clients that write every byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from relay_bench import Scene, scene_of

from chaosharness.model.address import Address, LinkId
from chaosharness.model.event import Kind
from chaosharness.model.flow import Effect
from chaosharness.model.gate import Action, Point
from chaosharness.relay.client import RelayClient
from chaosharness.sinks.http import HttpSink

WITHIN_S = 10.0
SERVER = "effect.charge"
CHARGE = Effect("charge", "http", "POST /v1/charges", idempotent_by="header:Idempotency-Key")


@dataclass(frozen=True)
class Answer:
    """One answer as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes


class Caller:
    """A client connection whose every byte the test writes itself."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection((address.host, address.port), WITHIN_S)
        self._file = self.socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    def answer(self, head: bool = False) -> Answer:
        status = int(self._file.readline().split()[1])
        lines = iter(self._file.readline, b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.decode().partition(":") for line in lines)}
        if head or status in (100, 204):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            chunks = []
            while size := int(self._file.readline(), 16):
                chunks.append(self._file.read(size))
                self._file.readline()
            self._file.readline()
            return Answer(status, headers, b"".join(chunks))
        length = headers.get("content-length")
        return Answer(status, headers, self._file.read() if length is None else self._file.read(int(length)))

    def closed(self) -> bool:
        """Whether the other end closed in order: FIN, and no reset."""
        return self._file.read(1) == b""


class Bench:
    """A scenario with one sink, and callers of it."""

    def __init__(self, scene: Scene, ends: ExitStack) -> None:
        self.scene = scene
        self._ends = ends
        self._address: Address | None = None

    def sink(self, effect: Effect = CHARGE) -> Bench:
        sink = HttpSink()
        assert sink.problems(effect) == []
        self.scene.relay.add_sink(effect.name, sink.stub, sink.stub_options(effect))
        self._address = self.scene.relay.sink(effect.name, LinkId("payment", 0, f"effect.{effect.name}"))
        return self

    def caller(self) -> Caller:
        assert self._address
        caller = Caller(self._address)
        self._ends.callback(caller.close)
        return caller

    def arm(self, point: Point, deadline_s: float = 30.0) -> None:
        self.scene.arm(point, Action.HOLD, server=SERVER, deadline_s=deadline_s)

    def keys(self, kind: Kind) -> list[str]:
        return self.scene.keys(kind)

    def kinds(self) -> list[Kind]:
        """What was recorded of requests, in order."""
        return [event.kind for event in self.scene.events(*ABOUT_REQUESTS)]


ABOUT_REQUESTS = (
    *(Kind.REQUEST, Kind.EFFECT, Kind.REPLAY, Kind.KEY_REUSED, Kind.REFUSED, Kind.DISCARDED, Kind.RESPONSE),
    *(Kind.ASIDE, Kind.UNKEYED, Kind.UNPARSED, Kind.FOREIGN_KEY),
)
APPLIED = [Kind.REQUEST, Kind.EFFECT, Kind.RESPONSE]


def charge(key: str, body: bytes | None = None, *headers: str, target: str = "/v1/charges", idem: str = "") -> bytes:
    """A whole request for the declared effect; `idem` is its idempotency key."""
    body = json.dumps({"order_id": key}).encode() if body is None else body
    lines = [f"POST {target} HTTP/1.1", "Host: stub", f"Content-Length: {len(body)}", *headers]
    if idem:
        lines.append(f"Idempotency-Key: {idem}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def bench_of(relay: RelayClient, folder: Path) -> Iterator[Bench]:
    """A scenario of its own; callers that a test leaves open are closed after it has ended."""
    with ExitStack() as ends, scene_of(relay, folder) as scene:
        yield Bench(scene, ends)
