"""Where a tree's connections lead: its own, and none that others opened to it."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from keeper_rig import SOON_S, python, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe


def client_of(folder: Path, host: str, port: int, family: str = "AF_INET") -> Recipe:
    """A process whose child, in a session of its own, connects."""
    return python(
        folder,
        "client",
        "import os, signal, socket\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        f"    s = socket.socket(socket.{family}); s.setblocking(False)\n"
        f"    s.connect_ex(({host!r}, {port}))\n"
        "    print('connecting')\n"
        "while True: signal.pause()\n",
    )


def test_a_connection_of_a_descendant_is_seen(keeper: KeeperClient, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = Address(*server.getsockname())
        client = client_of(tmp_path, *server.getsockname())
        keeper.launch(client)
        wait_logged(client, "connecting")
        with closing(server.accept()[0]):
            assert keeper.remotes("client") == (there,)
        wait_for("the end of the connection to be seen", SOON_S, lambda: keeper.remotes("client") == ())


def test_a_connection_to_a_mapped_address_is_told_as_version_4(keeper: KeeperClient, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        client = client_of(tmp_path, f"::ffff:{host}", port, "AF_INET6")
        keeper.launch(client)
        wait_logged(client, "connecting")
        assert keeper.remotes("client") == (Address(host, port),)


def test_a_connection_that_is_not_answered_yet_is_seen(keeper: KeeperClient, tmp_path: Path) -> None:
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for filler in (first, second):  # a backlog that is full answers no more
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        client = client_of(tmp_path, *server.getsockname())
        keeper.launch(client)
        wait_logged(client, "connecting")
        assert keeper.remotes("client") == (Address(*server.getsockname()),)


def test_what_others_opened_to_it_is_not_its_own(keeper: KeeperClient, tmp_path: Path) -> None:
    server = python(
        tmp_path,
        "server",
        "import signal, socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print('port', server.getsockname()[1])\n"
        "kept = server.accept()\n"
        "print('accepted')\n"
        "while True: signal.pause()\n",
    )
    keeper.launch(server)
    [line] = wait_logged(server, "port")
    with socket.create_connection(("127.0.0.1", int(line.split()[1])), SOON_S):
        wait_logged(server, "accepted")
        assert keeper.remotes("server") == ()
