"""What a relay does when an end of a connection goes, reads slowly or is not there, and what its ledger has then."""

from __future__ import annotations

import re
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqp_peers import SOON_S, SOURCE, Bench, FrameClient, consume, publish
from pamqp import commands
from publishing import collect, outcomes
from relay_bench import AIMED, KEYS, LINK, NONCE, QUEUE, Scene, scene_of

from chaosharness.brokers.rabbitmq import RabbitMQBroker
from chaosharness.keeper.client import KeeperClient
from chaosharness.ledger.reader import read
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.gate import Action, Point
from chaosharness.model.key import make_key
from chaosharness.ports.launch import Instance, Signal
from chaosharness.ports.plugin import Message, Outcome
from chaosharness.relay.client import RelayClient
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.rabbitmq import RabbitMQ

SERVER = RabbitMQ()
CHUNK = b"." * 65536
TOO_MUCH = 96 << 20
"""Bytes that a relay without back-pressure would take in."""
A_FEW = 32 << 20
"""Bytes that sockets and the relay may hold between two ends."""

CONSUMER = """
import sys, pika
url, queue, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
channel = pika.BlockingConnection(pika.URLParameters(url)).channel()
for number, (method, _, _) in enumerate(channel.consume(queue), 1):
    channel.basic_ack(method.delivery_tag)
    if number == count:
        print("all acked", flush=True)
"""


@pytest.fixture(scope="module")
def server(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return SERVER.start(launcher, tmp_path_factory.mktemp("rabbitmq"))


@pytest.fixture(scope="module")
def relay(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayClient]:
    relay = RelayClient.start(launcher, tmp_path_factory.mktemp("relay"))
    yield relay
    relay.close()


@pytest.fixture
def scene(relay: RelayClient, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(relay, tmp_path / "ledger") as scene:
        yield scene


@pytest.fixture
def bench(scene: Scene, server: Instance) -> Iterator[Bench]:
    namespace = SERVER.lease(server, "test")
    RabbitMQBroker().declare(server, namespace, SOURCE)
    yield Bench(scene, server, namespace, scene.tap(server.nodes["amqp"]))
    SERVER.release(server, namespace)


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """A server of the test's own: it sees how its end of a connection ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOON_S)
        yield listener


def connect(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), SOON_S)


def accept(upstream: socket.socket) -> socket.socket:
    end, _ = upstream.accept()
    end.settimeout(SOON_S)
    return end


# -- the client goes ---------------------------------------------------------------------------------------------------


def test_what_a_killed_client_has_in_flight_behind_a_hold_never_reaches_the_broker(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.SETTLE, Action.HOLD, deadline_s=SOON_S)
    url = RabbitMQBroker().connection_string(bench.tap, bench.namespace)
    argv = [sys.executable, "-c", CONSUMER, url, QUEUE, str(len(KEYS))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "all acked\n"
        bench.scene.wait(Kind.GATE_HELD)
        child.send_signal(signal.SIGKILL)
        assert child.wait(SOON_S) == -signal.SIGKILL
    assert bench.scene.released() == (False, "connection gone")
    assert bench.drain(6) == KEYS[4:]
    assert bench.scene.keys(Kind.SETTLE) == KEYS[:4]
    assert bench.scene.keys(Kind.SETTLE, discarded=True)[0] == AIMED


def test_a_client_that_resets_after_its_fin_leaves_nothing_unsettled(bench: Bench) -> None:
    bench.fill(KEYS)
    client = FrameClient(bench.tap, bench.namespace)
    client.send(commands.Basic.Consume(queue=QUEUE))
    assert [client.until("ContentBody").value.decode() for _ in KEYS] == KEYS
    client.reset_after_fin()
    assert bench.drain(10) == KEYS
    assert [event.data["by"] for event in bench.scene.events(Kind.DISCONNECT)] == ["client"]


def test_a_reset_after_a_fin_closes_the_other_end_in_order_and_at_once(scene: Scene, upstream: socket.socket) -> None:
    relay = scene.relay.instance
    client = connect(scene.tap(Address(*upstream.getsockname()), "resp"))
    with accept(upstream) as end:
        client.sendall(b"PING\r\n")
        assert end.recv(100) == b"PING\r\n"
        assert relay.signal(Signal.FREEZE).ok  # FIN and reset are both there before the relay sees either
        client.shutdown(socket.SHUT_WR)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert relay.signal(Signal.THAW).ok
        assert end.recv(100) == b""  # FIN; an end that was not told is reset when the relay loses its patience
    scene.wait(Kind.DISCONNECT)


def test_what_a_client_sent_before_its_end_still_arrives(scene: Scene, upstream: socket.socket) -> None:
    address, relay = scene.tap(Address(*upstream.getsockname()), "resp"), scene.relay.instance
    assert relay.signal(Signal.FREEZE).ok  # all of it and the end are there before the relay has a server's end
    with connect(address) as client:
        client.sendall(b"PING\r\n" * 1000)
    assert relay.signal(Signal.THAW).ok
    with accept(upstream) as end, end.makefile("rb") as file:
        assert file.read() == b"PING\r\n" * 1000


# -- the broker goes ---------------------------------------------------------------------------------------------------


def test_a_broker_that_is_killed_ends_its_clients_and_what_is_held_of_them(bench: Bench) -> None:
    bench.fill(KEYS)
    bench.scene.arm(Point.DELIVER, Action.HOLD, deadline_s=SOON_S)
    client = FrameClient(bench.tap, bench.namespace)
    with client.socket:
        client.send(commands.Basic.Consume(queue=QUEUE))
        bench.scene.wait(Kind.GATE_HELD)
        assert bench.server.signal(Signal.KILL).ok
        assert [client.until("ContentBody").value.decode() for _ in KEYS[:4]] == KEYS[:4]
        with pytest.raises(EOFError):
            client.next()
    assert bench.scene.released() == (False, "connection gone")
    assert [event.data["by"] for event in bench.scene.events(Kind.DISCONNECT)] == ["server"]
    assert bench.server.restart().ok
    SERVER.wait_ready(bench.server)
    assert bench.drain(10) == KEYS


def test_a_broker_that_is_not_there_is_an_end_by_the_server(scene: Scene, upstream: socket.socket) -> None:
    address = scene.tap(Address(*upstream.getsockname()), "resp")
    upstream.close()
    with connect(address) as client:
        assert client.recv(100) == b""
    assert [event.data["by"] for event in scene.wait(Kind.DISCONNECT)] == ["server"]


# -- an end that does not read -----------------------------------------------------------------------------------------


def rss(pid: int) -> int:
    """Bytes that a process has in memory."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found.group(1)) << 10


def push(end: socket.socket, data: bytes, at_most: int) -> int:
    """Sends until nobody has taken anything for a second, or so much is gone. Returns how much is."""
    end.setblocking(False)
    sent = 0
    while sent < at_most and select.select([], [end], [], 1.0)[1]:
        sent += end.send(data[sent % len(data) :])
    end.settimeout(SOON_S)
    return sent


@pytest.mark.parametrize("slow", ["client", "server"])
def test_an_end_that_does_not_read_stops_the_other_and_costs_no_memory(
    scene: Scene, upstream: socket.socket, slow: str
) -> None:
    pid = scene.relay._ask("ping")["pid"]
    with connect(scene.tap(Address(*upstream.getsockname()), "resp")) as client, accept(upstream) as end:
        if slow == "client":
            count = TOO_MUCH // len(CHUNK)
            client.sendall(b"GET big\r\n" * count)
            with end.makefile("rb") as file:
                assert file.read(9 * count) == b"GET big\r\n" * count
            unit, sender, receiver = b"$%d\r\n%s\r\n" % (len(CHUNK), CHUNK), end, client
        else:
            unit = b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n%s\r\n" % (len(CHUNK), CHUNK)
            sender, receiver = client, end
        before = rss(pid)
        sent = push(sender, unit, TOO_MUCH)
        assert sent < A_FEW
        assert rss(pid) - before < A_FEW
        rest = unit[sent % len(unit) :] if sent % len(unit) else b""
        writer = threading.Thread(target=sender.sendall, args=(rest,))
        writer.start()
        left = sent + len(rest)
        assert left % len(unit) == 0
        while left:
            taken = len(receiver.recv(min(left, 1 << 20)))
            assert taken, f"closed with {left} bytes to come"
            left -= taken
        writer.join(SOON_S)
    assert scene.events(Kind.UNPARSED) == []


# -- the ledger --------------------------------------------------------------------------------------------------------


def test_all_is_in_the_ledger_before_it_goes_on(bench: Bench) -> None:
    keys = [make_key(NONCE, number) for number in range(40)]
    with bench.direct() as past, bench.client() as connection:
        channel, watching = connection.channel(), past.channel()
        channel.confirm_delivery()
        for key in keys:
            channel.basic_publish("", QUEUE, key.encode(), mandatory=True)
            assert bench.scene.keys(Kind.PUBLISH)[-1] == bench.scene.keys(Kind.CONFIRM)[-1] == key
        for key in keys:
            method, _, body = channel.basic_get(QUEUE)
            assert (body.decode(), bench.scene.keys(Kind.DELIVER)[-1]) == (key, key)
            channel.basic_ack(method.delivery_tag)
        publish(channel, keys[:1])
        assert watching.queue_declare(QUEUE, passive=True).method.message_count == 1
        assert bench.scene.keys(Kind.SETTLE) == keys  # the same channel: acks came before


def test_a_killed_relay_leaves_a_ledger_that_has_all_that_it_let_through(
    server: Instance, keeper: KeeperClient, tmp_path: Path
) -> None:
    namespace = SERVER.lease(server, "test")
    RabbitMQBroker().declare(server, namespace, SOURCE)
    relay = RelayClient.start(LocalLauncher(keeper), tmp_path)
    scene = Scene(relay, tmp_path / "ledger")
    bench = Bench(scene, server, namespace, scene.tap(server.nodes["amqp"]))
    producer = bench.producer()
    keys = [make_key(NONCE, number) for number in range(2000)]
    for key in keys:
        producer.send(Message(key, key.encode()))
    done = collect(producer, 200)
    assert relay.instance.signal(Signal.KILL).ok
    done += collect(producer, len(keys) - len(done))
    producer.close()
    with pytest.raises(HarnessBroke, match=r"(gone|lost) while asked to arm"):
        scene.arm(Point.PUBLISH, Action.HOLD)
    relay.close()
    events, gaps = read(scene.folder / "relay.ledger.jsonl")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert len(gaps) == 1
    assert "not closed by its writer" in gaps[0]
    confirmed = {key for key, outcome in outcomes(done).items() if outcome is Outcome.OK}
    assert len(confirmed) >= 200
    assert confirmed <= set(scene.keys(Kind.CONFIRM))
    stored = bench.drain(len(confirmed))
    assert confirmed <= set(stored) <= set(scene.keys(Kind.PUBLISH))
    SERVER.release(server, namespace)


def test_a_relay_that_does_not_start_leaves_nothing_open(
    relay: RelayClient, launcher: LocalLauncher, tmp_path: Path
) -> None:
    with pytest.raises(HarnessBroke, match="launched already"):
        RelayClient.start(launcher, tmp_path)


def test_a_second_scenario_shares_nothing_with_the_first(relay: RelayClient, server: Instance, tmp_path: Path) -> None:
    namespace = SERVER.lease(server, "test")
    RabbitMQBroker().declare(server, namespace, SOURCE)
    first = Scene(relay, tmp_path / "first")
    before = Bench(first, server, namespace, first.tap(server.nodes["amqp"]))
    first.arm(Point.PUBLISH, Action.CUT)
    client = FrameClient(before.tap, namespace)
    with client.socket, scene_of(relay, tmp_path / "second") as second:
        with pytest.raises((EOFError, ConnectionResetError)):
            client.next()
        with pytest.raises(ConnectionRefusedError):
            connect(before.tap)
        after = Bench(second, server, namespace, second.tap(server.nodes["amqp"], link=LINK))
        with after.client() as connection:
            publish(connection.channel(), KEYS)
            assert consume(connection, len(KEYS)) == KEYS
        assert second.events(Kind.GATE_CUT, Kind.GATE_ARMED) == []
    assert read(first.folder / "relay.ledger.jsonl")[1] == []
    assert first.keys(Kind.PUBLISH) == []
    SERVER.release(server, namespace)
