"""RabbitMQ as a server: vhosts of one's own, a kill that loses nothing confirmed, and nothing left behind.

What is of a process alone (its program, its folder, its ports) is of the backend local; the rest is of every one.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pika
import pytest
import requests
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, ConnectionClosedByBroker
from where import WHERE, expected_version, start, up

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import HarnessBroke, MissingServer, ServerFailed
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Launcher, Namespace, Signal
from chaosharness.servers import rabbitmq
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.rabbitmq import RabbitMQ

PERSISTENT = pika.BasicProperties(delivery_mode=2)
IN_HAND = range(3)
"""The messages that a consumer has, unacknowledged, at the kill."""
FORGOTTEN_WITHIN_S = 0.5
"""A durable queue that was declared moments before a kill may be gone after it (measured: 50 ms, in one kill of 15, on
either version): the table of queues is dumped five times a second (servers/rabbitmq.py)."""


@dataclass
class Broker:
    """One RabbitMQ for all tests of this module; each takes a vhost of its own."""

    server: RabbitMQ
    instance: Instance

    @contextmanager
    def channel(self, lease: Namespace) -> Iterator[BlockingChannel]:
        amqp = self.instance.nodes["amqp"]
        facts = lease.facts
        where = pika.ConnectionParameters(
            amqp.host,
            amqp.port,
            facts["vhost"],
            pika.PlainCredentials(facts["user"], facts["password"]),
            socket_timeout=5,
            blocked_connection_timeout=5,
        )
        connection = pika.BlockingConnection(where)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    @contextmanager
    def leased(self, name: str) -> Iterator[Namespace]:
        lease = self.server.lease(self.instance, name)
        yield lease
        self.server.release(self.instance, lease)

    def counts(self, lease: Namespace, queue: str) -> tuple[int, int]:
        """Ready and unacknowledged, live."""
        url = f"http://{self.instance.nodes['management']}/api/queues/{lease.name}"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(
                url,
                params={"disable_stats": "true", "enable_queue_totals": "true"},
                auth=(lease.facts["user"], lease.facts["password"]),
                timeout=5,
            )
        (found,) = [row for row in answer.json() if row["name"] == queue]
        return found["messages_ready"], found["messages_unacknowledged"]


@pytest.fixture(scope="module", params=WHERE)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Its end is looked at when its tests are over."""
    server = RabbitMQ()
    instance = start(request, server, tmp_path_factory.mktemp("run") / "rabbitmq.0")
    assert server.version(instance).startswith(expected_version(server, request.param))
    yield Broker(server, instance)
    assert instance.stop(0).ok
    assert not instance.alive()
    refuse(instance)


@pytest.fixture
def broker(started: Broker) -> Broker:
    up(started.server, started.instance)
    return started


def refuse(instance: Instance) -> None:
    for address in instance.nodes.values():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.host, address.port), 1).close()


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes whose environment or command line names the folder; epmd inherits both."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in said:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def test_confirmed_messages_outlive_a_kill_and_a_dead_broker_is_told_at_once(broker: Broker) -> None:
    with broker.leased("survival") as lease:
        with broker.channel(lease) as channel:
            channel.queue_declare("orders", durable=True)
            declared = time.monotonic()
            channel.confirm_delivery()
            numbers = count()
            while time.monotonic() - declared < FORGOTTEN_WITHIN_S:
                channel.basic_publish("", "orders", b"%d" % next(numbers), PERSISTENT, mandatory=True)
            confirmed = next(numbers)
            assert [channel.basic_get("orders")[2] for _ in IN_HAND] == [b"%d" % number for number in IN_HAND]
            nodes = broker.instance.nodes
            killed = broker.instance.signal(Signal.KILL)
            with pytest.raises((AMQPConnectionError, OSError)):
                channel.basic_publish("", "orders", b"late", PERSISTENT)
        assert killed.ok
        refuse(broker.instance)
        with pytest.raises(ServerFailed, match=r"rabbitmq\.0 ended before it was ready") as failed:
            broker.server.wait_ready(broker.instance)
        assert "rabbitmq.log" in str(failed.value)
        assert broker.instance.restart(keep_data=True).ok
        broker.server.wait_ready(broker.instance)
        assert broker.instance.nodes == nodes
        assert broker.counts(lease, "orders") == (confirmed, 0)  # at once: the drain goes by what is listed
        with broker.channel(lease) as channel:
            got = [channel.basic_get("orders", auto_ack=True) for _ in range(confirmed)]
            assert [body for _, _, body in got] == [b"%d" % number for number in range(confirmed)]
            assert all(got[number][0].redelivered for number in IN_HAND)
            assert channel.basic_get("orders") == (None, None, None)


def test_a_restart_without_data_knows_nothing(broker: Broker) -> None:
    gone = broker.server.lease(broker.instance, "gone")
    assert broker.instance.signal(Signal.KILL).ok
    assert broker.instance.restart(keep_data=False).ok
    broker.server.wait_ready(broker.instance)
    with pytest.raises(HarnessBroke, match="404"):
        broker.server.release(broker.instance, gone)
    with broker.leased("gone") as lease, broker.channel(lease) as channel:
        channel.queue_declare("orders", durable=True)


def test_what_it_says_is_in_its_log(broker: Broker) -> None:
    assert not broker.instance.restart().ok  # it is up
    wait_for("its line", 10, lambda: "Server startup complete" in broker.instance.log.read_text())


def test_a_frozen_broker_answers_nobody_and_comes_back_whole(broker: Broker) -> None:
    amqp = broker.instance.nodes["amqp"]
    assert broker.instance.signal(Signal.FREEZE).ok
    try:
        assert broker.instance.alive()
        with socket.create_connection((amqp.host, amqp.port), 1) as client:
            client.settimeout(0.3)
            client.sendall(b"AMQP\x00\x00\x09\x01")
            with pytest.raises(TimeoutError):
                client.recv(1)
    finally:
        assert broker.instance.signal(Signal.THAW).ok
    broker.server.wait_ready(broker.instance)


def test_leases_do_not_see_each_other(broker: Broker) -> None:
    with broker.leased("payment[effect-ack:crash]") as one, broker.leased("payment[effect-ack:crash]") as other:
        assert one.name != other.name
        assert one.name.startswith("payment-effect-ack-crash-")
        with broker.channel(one) as mine, broker.channel(other) as theirs:
            for channel in (mine, theirs):
                channel.queue_declare("orders", durable=True)
            mine.basic_publish("", "orders", b"mine", PERSISTENT)
            assert mine.basic_get("orders", auto_ack=True)[2] == b"mine"
            assert theirs.basic_get("orders", auto_ack=True) == (None, None, None)


@pytest.mark.parametrize("name", ["a/b c", "", "ä", "x" * 300])
def test_any_name_makes_a_lease(broker: Broker, name: str) -> None:
    with broker.leased(name) as lease, broker.channel(lease) as channel:
        channel.queue_declare("orders")
        assert lease.name == lease.facts["vhost"]


def test_a_release_takes_queues_and_connections_with_it(broker: Broker) -> None:
    lease = broker.server.lease(broker.instance, "gone")
    with broker.channel(lease) as channel:
        channel.queue_declare("orders", durable=True)
        broker.server.release(broker.instance, lease)
        with pytest.raises(ConnectionClosedByBroker, match="vhost"):
            wait_for("the broker to close the connection", 10, lambda: channel.connection.process_data_events(0.1))
    with pytest.raises(AMQPConnectionError), broker.channel(lease):
        pytest.fail("connected")
    with pytest.raises(HarnessBroke, match="404"):
        broker.server.release(broker.instance, lease)


def test_counts_are_live(broker: Broker) -> None:
    with broker.leased("counts") as lease, broker.channel(lease) as channel:
        channel.queue_declare("orders", durable=True)
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish("", "orders", b"x", PERSISTENT)
        wait_for("3 ready", 10, lambda: broker.counts(lease, "orders") == (3, 0))
        method, _, _ = channel.basic_get("orders")
        wait_for("1 unacknowledged", 10, lambda: broker.counts(lease, "orders") == (2, 1))
        channel.basic_ack(method.delivery_tag)
        wait_for("2 left", 10, lambda: broker.counts(lease, "orders") == (2, 0))


@pytest.mark.parametrize("started", ["local"], indirect=True)
def test_it_listens_on_loopback_alone(broker: Broker) -> None:
    ports = {address.port for address in broker.instance.nodes.values()}
    for table in ("tcp", "tcp6"):
        for row in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            host, port = row.split()[1].split(":")
            if int(port, 16) in ports and row.split()[3] == "0A":
                assert host == "0100007F"
                ports.remove(int(port, 16))
    assert not ports


def test_a_configuration_that_it_refuses_is_in_the_error_and_nothing_is_left(tmp_path: Path) -> None:
    with (
        KeeperClient.start(tmp_path / "keeper") as keeper,
        pytest.raises(ServerFailed, match="no_such_setting"),
    ):
        RabbitMQ(config=["no_such_setting = 1"]).start(LocalLauncher(keeper), tmp_path / "rabbitmq")
    assert processes_of(tmp_path / "rabbitmq") == []


def test_a_configuration_that_a_container_refuses_is_in_the_error(docker_launcher: Launcher, tmp_path: Path) -> None:
    broken = RabbitMQ(config=["no_such_setting = 1"])
    with pytest.raises(ServerFailed, match=r"(?s)rabbitmq ended before it was ready.*no_such_setting"):
        broken.start(docker_launcher, tmp_path / "rabbitmq", "chaosharness/rabbitmq:debian12")


def test_nothing_is_left_when_the_keeper_closes(tmp_path: Path) -> None:
    folder = tmp_path / "rabbitmq"
    server = RabbitMQ(config=["consumer_timeout = 60000"], erl_args=["-rabbit", "channel_tick_interval", "1000"])
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        instance = server.start(LocalLauncher(keeper), folder)
        running = processes_of(folder)
        assert any("beam" in line for line in running)
        assert not any("epmd -daemon" in line for line in running)
        assert any("channel_tick_interval 1000" in line for line in running)
        assert (folder / "conf" / ".erlang.cookie").stat().st_mode & 0o777 == 0o400
    assert processes_of(folder) == []
    refuse(instance)


def test_where_there_is_none_the_remedy_is_named(
    launcher: LocalLauncher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RabbitMQ().available().version
    monkeypatch.setattr(rabbitmq, "INSTALLED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = RabbitMQ().available()
    assert (found.ok, found.remedy) == (False, "apt-get install -y rabbitmq-server")
    with pytest.raises(MissingServer, match="apt-get install"):
        RabbitMQ().start(launcher, tmp_path / "rabbitmq")


def test_only_the_plugins_that_are_needed_are_there_and_any_other_layout_is_left_alone(tmp_path: Path) -> None:
    program = Path(RabbitMQ().available().how)
    trimmed = rabbitmq._plugin_folder(program, tmp_path / "plugins")
    names = {link.name.rsplit("-", 1)[0] for link in trimmed.iterdir()}
    assert {"rabbitmq_management", "rabbitmq_web_dispatch", "cowboy", "rabbit"} <= names
    assert "rabbitmq_shovel" not in names
    other = tmp_path / "other" / "sbin" / "rabbitmq-server"
    other.parent.mkdir(parents=True)
    other.touch()
    assert rabbitmq._plugin_folder(other, tmp_path / "none") == tmp_path / "other" / "plugins"
    assert not (tmp_path / "none").exists()
