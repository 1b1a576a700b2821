"""The one child that has a connection open is killed, and nobody else; orphans of a killed parent live on."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from keeper_rig import SOON_S, lives, parent, python, wait_gone, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.ledger.reader import read
from chaosharness.model.address import Address
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe, Scope, Signal

POOL = """
import os, signal, socket
port = PORT
def connect():
    held = socket.create_connection(("127.0.0.1", port))
    held.sendall(b"%d\\n" % os.getpid())
    return held
def worker():
    if os.fork() == 0:
        held = connect()
        while True: signal.pause()
MORE
worker(); worker()
while True:
    try: os.wait()
    except ChildProcessError: signal.pause()
    worker()
"""


@dataclass
class Server:
    """Accepts, and knows which process each connection came from by what it said first."""

    socket: socket.socket
    clients: dict[int, Address] = field(default_factory=dict)
    """Process id, to its own end of its connection."""
    ends: ExitStack = field(default_factory=ExitStack)

    def accept(self, count: int) -> None:
        for _ in range(count):
            connection, address = self.socket.accept()
            self.ends.enter_context(connection)
            connection.settimeout(SOON_S)
            self.clients[int(connection.makefile().readline())] = Address(address[0], address[1])


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as ends:
        listening.settimeout(SOON_S)
        yield Server(listening, ends=ends)


def pool(folder: Path, server: Server, more: str = "") -> Recipe:
    code = POOL.replace("PORT", str(server.socket.getsockname()[1])).replace("MORE", more)
    return python(folder, "pool", code, restart="always")


def test_the_owner_alone_is_killed_and_its_supervisor_replaces_it(
    keeper: KeeperClient, tmp_path: Path, server: Server
) -> None:
    keeper.record_to(tmp_path)
    keeper.launch(pool(tmp_path, server))
    server.accept(2)
    struck, other = sorted(server.clients)
    main = parent(struck)
    evidence = keeper.kill_owner("pool", server.clients[struck])
    assert evidence.ok, evidence
    assert evidence.facts["pids"] == evidence.facts["owners"] == [struck]
    assert evidence.facts["parent"] is False
    assert {main, other} <= set(evidence.facts["left"])
    assert f"SIGKILL to process {struck}, which has the connection from {server.clients[struck]}; gone" in evidence.what
    assert (lives(struck), lives(other), lives(main)) == (False, True, True)
    server.accept(1)  # the parent has started another
    assert keeper.exits("pool") == ()
    (signalled,) = [event for event in read(tmp_path / "keeper.ledger.jsonl")[0] if event.kind is Kind.SIGNALLED]
    assert {key: signalled.data[key] for key in ("signal", "scope", "pids")} == {
        "signal": "kill",
        "scope": "child",
        "pids": [struck],
    }


def test_a_connection_of_the_parent_itself_is_told_and_nothing_is_killed(
    keeper: KeeperClient, tmp_path: Path, server: Server
) -> None:
    keeper.record_to(tmp_path)
    keeper.launch(python(tmp_path, "pool", POOL.replace("PORT", str(server.socket.getsockname()[1])).replace(
        "MORE", "held = connect()\nwhile True: signal.pause()"
    )))  # fmt: skip
    server.accept(1)
    [main] = server.clients
    evidence = keeper.kill_owner("pool", server.clients[main])
    assert not evidence.ok
    assert (evidence.facts["owners"], evidence.facts["parent"], evidence.facts["pids"]) == ([main], True, [])
    assert "of the first process of pool itself" in evidence.what
    assert lives(main)
    assert not [event for event in read(tmp_path / "keeper.ledger.jsonl")[0] if event.kind is Kind.SIGNALLED]


def test_a_connection_that_was_inherited_is_nobodys_alone(keeper: KeeperClient, tmp_path: Path, server: Server) -> None:
    inherits = "held = connect()\nif os.fork() == 0:\n    print('child')\n    while True: signal.pause()"
    shared = pool(tmp_path, server, inherits + "\nwhile True: signal.pause()")
    keeper.launch(shared)
    server.accept(1)
    wait_logged(shared, "child")
    [main] = server.clients
    evidence = keeper.kill_owner("pool", server.clients[main])
    assert not evidence.ok
    assert "shared by processes" in evidence.what
    assert len(evidence.facts["owners"]) == 2
    assert all(lives(pid) for pid in evidence.facts["owners"])


def test_a_connection_of_nobody_is_told(keeper: KeeperClient, tmp_path: Path, server: Server) -> None:
    keeper.launch(pool(tmp_path, server))
    server.accept(2)
    other_end = Address(*server.socket.getsockname())  # what they are connected to is not theirs
    evidence = keeper.kill_owner("pool", other_end)
    assert not evidence.ok
    assert evidence.what == f"no process of pool has the connection from {other_end}"
    assert all(lives(pid) for pid in server.clients)


def test_a_connection_through_version_6_is_found(keeper: KeeperClient, tmp_path: Path, server: Server) -> None:
    code = POOL.replace("PORT", str(server.socket.getsockname()[1])).replace("MORE", "").replace(
        'socket.create_connection(("127.0.0.1", port))', "socket.socket(socket.AF_INET6); "
        'held.connect(("::ffff:127.0.0.1", port))'
    )  # fmt: skip
    keeper.launch(python(tmp_path, "pool", code))
    server.accept(2)
    struck = min(server.clients)
    assert keeper.kill_owner("pool", server.clients[struck]).facts["pids"] == [struck]


def test_orphans_of_a_killed_parent_live_beside_the_next_one_and_end_with_it(
    keeper: KeeperClient, tmp_path: Path, server: Server
) -> None:
    keeper.launch(pool(tmp_path, server))
    server.accept(2)
    orphans = sorted(server.clients)
    main = parent(orphans[0])
    assert len(keeper.descendants("pool")) == 2
    assert keeper.signal("pool", Signal.KILL, Scope.PARENT).ok
    assert not lives(main)
    assert keeper.restart("pool").facts["incarnation"] == 2
    server.accept(2)
    assert set(orphans) < set(keeper.descendants("pool"))
    # one of them can still be found by its connection; it is not replaced
    evidence = keeper.kill_owner("pool", server.clients[orphans[0]])
    assert evidence.ok, evidence
    assert keeper.stop("pool", 0.2).ok
    wait_gone(*server.clients)
    assert keeper.status() == ()


def test_a_policy_restart_goes_beside_orphans_too(keeper: KeeperClient, tmp_path: Path, server: Server) -> None:
    keeper.launch(pool(tmp_path, server))
    server.accept(2)
    orphans = set(server.clients)
    assert keeper.exits("pool") == ()
    os.kill(parent(min(orphans)), signal.SIGKILL)
    server.accept(2)
    wait_for("its exit", SOON_S, lambda: keeper.exits("pool") == (-signal.SIGKILL,))
    assert orphans < set(keeper.descendants("pool"))
    assert keeper.stop("pool", 0.2).ok
    wait_gone(*server.clients)
