"""A hostile client and a hostile server around a real relay: it neither hangs nor grows, and loses no record.

In: taps of both protocols and the HTTP sink, bytes that nobody should send, ends that never come or come too early.
Out: what came before is in the ledger, which ends without a gap (`scene_of`); a good client is served all the while.
"""

from __future__ import annotations

import random
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from http_bench import APPLIED, Bench, bench_of, charge
from pamqp import body, commands, frame, header
from relay_bench import AIMED, KEYS, QUEUE, SOON_S, Scene, scene_of
from test_relay_connections import A_FEW, TOO_MUCH, accept, connect, push, rss, upstream

from chaosharness.model.address import Address
from chaosharness.model.event import Kind
from chaosharness.model.gate import Action, Point
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher

__all__ = ["upstream"]

NOISE = random.Random(5).randbytes(100_000)
MANY = 150
"""Connections that hold one byte each."""


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    assert relay.instance.alive()
    relay.close()


@pytest.fixture
def scene(relay: RelayClient, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(relay, tmp_path / "ledger") as scene:
        yield scene


@pytest.fixture
def sink(relay: RelayClient, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(relay, tmp_path / "ledger") as bench:
        yield bench.sink()


@dataclass(frozen=True)
class Tongue:
    """A protocol: what opens a connection from each end, and a publish of a key."""

    tap: str
    client: bytes
    server: bytes
    half: bytes
    giant: bytes

    def publish(self, key: str, more: int = 0) -> bytes:
        """A publish whose body has so many bytes more than it needs."""
        if self.tap == "resp":
            text = key.encode() + b"." * more
            return b"*3\r\n$5\r\nLPUSH\r\n$6\r\n%s\r\n$%d\r\n%s\r\n" % (QUEUE.encode(), len(text), text)
        properties = commands.Basic.Properties(message_id=key)
        content = header.ContentHeader(body_size=more, properties=properties)
        rest = frame.marshal(body.ContentBody(b"." * more), 1) if more else b""
        return frame.marshal(commands.Basic.Publish(routing_key=QUEUE), 1) + frame.marshal(content, 1) + rest


TONGUES = [
    Tongue("resp", b"", b":1\r\n", b"*2\r\n$5\r\nLPUSH\r\n$90", b"*3\r\n$5\r\nLPUSH\r\n$6\r\norders\r\n$500000000\r\n"),
    Tongue(
        "amqp",
        b"AMQP\0\0\x09\x01" + frame.marshal(commands.Connection.TuneOk(0, 0, 0), 0),
        frame.marshal(commands.Connection.Start(), 0),
        b"\1\0\1\0\0\1\0half of it",
        frame.marshal(commands.Basic.Publish(routing_key=QUEUE), 1)
        + frame.marshal(header.ContentHeader(body_size=1 << 40), 1),
    ),
]
each_tongue = pytest.mark.parametrize("tongue", TONGUES, ids=[tongue.tap for tongue in TONGUES])
BLOWS = {"noise": NOISE, "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + NOISE[:500], "nothing": b""}
each_blow = pytest.mark.parametrize("blow", [*BLOWS, "half"])
each_end = pytest.mark.parametrize("end", ["fin", "reset"])


def finish(sock: socket.socket, end: str) -> None:
    """Closes it in order, or by a reset."""
    if end == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def drained(sock: socket.socket) -> bytes:
    """All that comes until its end, however that comes."""
    found = b""
    with suppress(ConnectionResetError):
        while data := sock.recv(1 << 20):
            found += data
    return found


def published(scene: Scene, tap: Address, upstream: socket.socket, tongue: Tongue, key: str) -> None:
    """A good client is served: its publish arrives, and is in the ledger."""
    sent = tongue.client + tongue.publish(key)
    with connect(tap) as client, accept(upstream) as end:
        client.sendall(sent)
        assert exactly(end, len(sent)) == sent
    assert key in scene.keys(Kind.PUBLISH)


def exactly(sock: socket.socket, size: int) -> bytes:
    with sock.makefile("rb") as file:
        return file.read(size)


@each_tongue
@each_blow
@each_end
def test_a_hostile_client(scene: Scene, upstream: socket.socket, tongue: Tongue, blow: str, end: str) -> None:
    hurt = BLOWS.get(blow, tongue.half)
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    before = tongue.client + tongue.publish(KEYS[0])
    client = connect(tap)
    with accept(upstream) as server:
        client.sendall(before)
        assert exactly(server, len(before)) == before
        client.sendall(hurt)
        if blow in ("noise", "TLS"):  # it has given up: all of it goes on at once
            assert exactly(server, len(hurt)) == hurt
        finish(client, end)
        assert drained(server) == b""
    assert scene.keys(Kind.PUBLISH) == KEYS[:1]
    published(scene, tap, upstream, tongue, KEYS[1])
    assert len(scene.events(Kind.UNPARSED)) == (blow in ("noise", "TLS"))


@each_tongue
@each_blow
@each_end
def test_a_hostile_server(scene: Scene, upstream: socket.socket, tongue: Tongue, blow: str, end: str) -> None:
    hurt = BLOWS.get(blow, b"$1000000\r\nhalf" if tongue.tap == "resp" else tongue.half)
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    before = tongue.client + tongue.publish(KEYS[0])
    with connect(tap) as client:
        client.settimeout(SOON_S)
        server = accept(upstream)
        client.sendall(before)
        assert exactly(server, len(before)) == before
        server.sendall(tongue.server)
        assert exactly(client, len(tongue.server)) == tongue.server
        server.sendall(hurt)
        if blow in ("noise", "TLS"):
            assert exactly(client, len(hurt)) == hurt
        finish(server, end)
        assert drained(client) == b""
    assert scene.keys(Kind.PUBLISH) == KEYS[:1]
    published(scene, tap, upstream, tongue, KEYS[1])
    assert len(scene.events(Kind.UNPARSED)) == (blow in ("noise", "TLS"))


@each_tongue
def test_a_giant_length_field_costs_no_memory_and_stalls_nothing(
    scene: Scene, upstream: socket.socket, tongue: Tongue
) -> None:
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    pid = scene.relay._ask("ping")["pid"]
    before = rss(pid)
    sent = tongue.client + tongue.giant + b"." * TOO_MUCH
    with connect(tap) as client, accept(upstream) as server:
        writer = threading.Thread(target=client.sendall, args=(sent,))
        writer.start()
        left = len(sent)
        while left:
            left -= len(server.recv(min(left, 1 << 20)))
        writer.join(SOON_S)
    assert rss(pid) - before < A_FEW
    (unparsed,) = scene.events(Kind.UNPARSED)
    assert "keeps at most" in unparsed.data["reason"]


@each_tongue
def test_what_the_server_has_begun_to_say_is_not_kept_back_when_the_client_is_no_longer_understood(
    scene: Scene, upstream: socket.socket, tongue: Tongue
) -> None:
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    half = tongue.server[: len(tongue.server) - 1]
    with connect(tap) as client, accept(upstream) as server:
        client.settimeout(SOON_S)
        client.sendall(tongue.client + tongue.publish(KEYS[0]))
        server.sendall(half)
        client.sendall(b"\xff" * 64)
        assert exactly(client, len(half)) == half
    scene.wait(Kind.UNPARSED)


@each_tongue
def test_many_that_never_finish_a_word_hold_up_nobody(scene: Scene, upstream: socket.socket, tongue: Tongue) -> None:
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    with ExitStack() as ends:
        for _ in range(MANY):
            client = ends.enter_context(connect(tap))
            ends.enter_context(accept(upstream))
            client.sendall((tongue.client + tongue.publish(KEYS[0]))[: len(tongue.client) + 9])
        published(scene, tap, upstream, tongue, KEYS[1])
        scene.relay.end()  # and their end is the scene's
    assert scene.keys(Kind.PUBLISH) == KEYS[1:2]


@each_tongue
def test_a_flood_behind_a_hold_is_not_read_beyond_a_bound_and_arrives_whole(
    scene: Scene, upstream: socket.socket, tongue: Tongue
) -> None:
    tap = scene.tap(Address(*upstream.getsockname()), tongue.tap)
    scene.arm(Point.PUBLISH, Action.HOLD, deadline_s=SOON_S)
    pid = scene.relay._ask("ping")["pid"]
    unit = tongue.publish(KEYS[1], 2000) * 100
    with connect(tap) as client, accept(upstream) as server:
        before = tongue.client + tongue.publish(AIMED)
        client.sendall(before)
        scene.wait(Kind.GATE_HELD)
        began = rss(pid)
        sent = push(client, unit, TOO_MUCH)
        assert sent < A_FEW
        assert rss(pid) - began < 2 * A_FEW
        assert scene.release(True)
        left = len(before) + sent
        while left:
            taken = len(server.recv(min(left, 1 << 20)))
            assert taken, f"closed with {left} bytes to come"
            left -= taken
    assert scene.events(Kind.UNPARSED) == []


def test_a_broker_that_never_accepts_costs_no_memory(scene: Scene) -> None:
    """Its queue of connections is full: what the client says waits at the tap, up to a bound."""
    with ExitStack() as ends:
        full = ends.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = Address(*full.getsockname())
        for _ in range(3):
            waiting = ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address.host, address.port))
        pid = scene.relay._ask("ping")["pid"]
        before = rss(pid)
        client = ends.enter_context(connect(scene.tap(address, "resp")))
        assert push(client, b"GET big\r\n" * 10_000, TOO_MUCH) < A_FEW
        assert rss(pid) - before < A_FEW


def test_a_storm_of_connections_finds_as_many_file_descriptors_as_there_may_be() -> None:
    """A shell's limit is often a thousand; each tapped connection takes two."""
    ours, theirs = socket.socketpair()
    command = f"ulimit -S -n 100; exec {sys.executable} -m chaosharness.relay"
    with ours, theirs, subprocess.Popen(["sh", "-c", command], stdin=theirs.fileno()) as process:
        theirs.close()
        ours.settimeout(SOON_S)
        ours.sendall(b'{"do": "ping"}\n')
        assert b"pid" in ours.recv(1000)
        now, most = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        ours.close()
    assert now == most > 100


# the sink


@pytest.mark.parametrize("blow", [*BLOWS, "half"])
@each_end
def test_a_hostile_client_of_the_sink(sink: Bench, blow: str, end: str) -> None:
    caller = sink.caller()
    caller.send(charge(KEYS[0]))
    assert caller.answer().status == 200
    caller.send(BLOWS.get(blow, charge(KEYS[1])[:-5]))
    caller._file.close()
    finish(caller.socket, end)
    other = sink.caller()
    other.send(charge(KEYS[2]))
    assert other.answer().status == 200
    assert sink.keys(Kind.EFFECT) == [KEYS[0], KEYS[2]]
    sink.scene.wait(Kind.DISCONNECT)


def test_a_reset_right_behind_noise_breaks_nothing(sink: Bench, relay: RelayClient) -> None:
    """Both are there before the relay sees either: what would answer the noise finds no one."""
    for _ in range(20):
        caller = sink.caller()
        caller.send(NOISE[:100])
        caller._file.close()
        finish(caller.socket, "reset")
    other = sink.caller()
    other.send(charge(KEYS[2]))
    assert other.answer().status == 200


def test_requests_without_end_and_answers_that_nobody_reads_cost_no_memory(sink: Bench, relay: RelayClient) -> None:
    caller = sink.caller()
    pid = relay._ask("ping")["pid"]
    before = rss(pid)
    sent = push(caller.socket, charge(KEYS[0]) * 1000, TOO_MUCH)
    assert sent < A_FEW
    assert rss(pid) - before < A_FEW


def test_a_body_of_gigabytes_is_refused(sink: Bench) -> None:
    caller = sink.caller()
    caller.send(b"POST /v1/charges HTTP/1.1\r\nHost: s\r\nContent-Length: 99999999999\r\n\r\n")
    with suppress(ConnectionError):
        push(caller.socket, b"." * (1 << 20), 2 * TOO_MUCH)
    assert sink.scene.wait(Kind.UNPARSED)[0].data["reason"].endswith("bytes")


def test_many_that_never_finish_a_request_hold_up_nobody(sink: Bench) -> None:
    for _ in range(MANY):
        sink.caller().send(charge(KEYS[0])[:60])
    caller = sink.caller()
    caller.send(charge(KEYS[1]))
    assert caller.answer().status == 200
    assert sink.kinds() == APPLIED
