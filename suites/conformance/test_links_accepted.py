"""Connections at a tap, and the clients that Toxiproxy names: the same in number and order, whatever happens."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from links_peers import ARRIVES_WITHIN_S, Upstream, closed

from chaosharness.links.accepted import NOT_PASSED_ON, client_of, clients
from chaosharness.links.link import Link, proxy_name
from chaosharness.links.toxics import BLACK_HOLE_IN
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Launcher

MANY = 40
HERE = Address("127.0.0.1", 0)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with closing(Upstream()) as found:
        yield found


@pytest.fixture
def another() -> Iterator[Upstream]:
    with closing(Upstream()) as found:
        yield found


def connect(link: Link) -> socket.socket:
    return socket.create_connection((link.listen.host, link.listen.port), ARRIVES_WITHIN_S)


def own_end(client: socket.socket) -> Address:
    return Address(*client.getsockname()[:2])


def test_concurrent_connections_are_named_in_the_order_in_which_they_arrive(
    toxiproxy_server: Instance, toxiproxies: Toxiproxies, upstream: Upstream, another: Upstream
) -> None:
    ids = [LinkId("payment", replica, "broker") for replica in range(2)]
    links = [toxiproxies.link(id, HERE, upstream.address) for id in ids]
    busy = toxiproxies.link(LinkId("payment", 2, "broker"), HERE, another.address)
    with ExitStack() as ends, ThreadPoolExecutor(16) as pool:
        link = links[0]
        opened = list(pool.map(lambda n: connect(link if n % 2 else busy), range(2 * MANY)))
        for client in opened:
            ends.enter_context(client)
        mine = [client for n, client in enumerate(opened) if n % 2]
        for client in mine:
            client.sendall(str(own_end(client)).encode())
        arrived = []
        for _ in mine:  # in the order in which the tap would see them
            server, _ = upstream._socket.accept()
            ends.enter_context(server)
            server.settimeout(ARRIVES_WITHIN_S)
            arrived.append(Address.parse(server.recv(100).decode()))
        log = toxiproxy_server.log
        assert client_of(log, ids[0], upstream.address, MANY) == arrived[-1]
        assert clients(log, ids[0], upstream.address) == arrived
        assert clients(log, ids[1], upstream.address) == []


def test_one_that_was_not_passed_on_does_not_count(
    toxiproxy_server: Instance, toxiproxies: Toxiproxies, launcher: Launcher
) -> None:
    id, port = LinkId("payment", 0, "effect.a"), launcher.free_port()
    link = toxiproxies.link(id, HERE, there := Address("127.0.0.1", port))
    with connect(link) as refused:
        assert closed(refused)
    log = toxiproxy_server.log
    wait_for("Toxiproxy's word on the one that it could not pass on", ARRIVES_WITHIN_S, lambda: _given_up(log, id))
    with socket.create_server((there.host, there.port)), connect(link) as client:
        assert client_of(toxiproxy_server.log, id, there, 1) == own_end(client)


def test_an_earlier_link_of_that_name_does_not_count_and_a_hiccup_of_this_one_does_not_either(
    toxiproxy_server: Instance, toxiproxies: Toxiproxies, upstream: Upstream, another: Upstream
) -> None:
    id = LinkId("payment", 0, "effect.b")
    before = toxiproxies.link(id, HERE, another.address)
    with connect(before):
        before.remove()
    link = toxiproxies.link(id, HERE, upstream.address)
    with connect(link) as first:
        assert client_of(toxiproxy_server.log, id, upstream.address, 1) == own_end(first)
        link.disable()
        link.enable()
    with link.apply(BLACK_HOLE_IN), connect(link) as second:
        assert client_of(toxiproxy_server.log, id, upstream.address, 2) == own_end(second)


def test_one_that_is_not_named_in_time_is_an_error(
    toxiproxy_server: Instance, toxiproxies: Toxiproxies, upstream: Upstream, tmp_path: Path
) -> None:
    id = LinkId("payment", 0, "effect.c")
    link = toxiproxies.link(id, HERE, upstream.address)
    with (
        connect(link),
        pytest.raises(HarnessBroke, match=r"waited 0\.2 s for .* name client 2 of payment\.0>effect\.c\.0 .*: 1 of"),
    ):
        client_of(toxiproxy_server.log, id, upstream.address, 2, within_s=0.2)
    with pytest.raises(HarnessBroke, match="0 of them"):
        client_of(tmp_path / "no.log", id, upstream.address, 1, within_s=0)


def _given_up(log: Path, link: LinkId) -> bool:
    return any(NOT_PASSED_ON in line and proxy_name(link) in line for line in log.read_text().splitlines())
