"""Links over a real Toxiproxy: what they do to bytes, and that nothing is claimed that was not read back.

On every backend: over a process, and over a container's published ports.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from backends import start
from links_peers import Upstream, closed, passes, stuff, swallowed

from chaosharness.links import link as link_module
from chaosharness.links.library import Refused, Unanswered
from chaosharness.links.link import Link
from chaosharness.links.ports import LinkPorts, Listener, ports_of
from chaosharness.links.toxics import BLACK_HOLE_IN, BLACK_HOLE_OUT
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Instance, Launcher, Signal
from chaosharness.servers.toxiproxy import Toxiproxy

LATENCY = {"type": "latency", "stream": "downstream", "attributes": {"latency": 5}}
PUBLISHED = 6
"""Ports of a containerised Toxiproxy: no test has more links."""


def toxic(type: str, stream: str = "upstream", **attributes: int) -> dict[str, Any]:
    return {"type": type, "stream": stream, "attributes": attributes}


@dataclass
class Bench:
    """A running Toxiproxy, what speaks to it, and somewhere for links to lead."""

    server: Instance
    toxiproxies: Toxiproxies
    ports: LinkPorts
    upstream: Upstream
    lent: list[Listener] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def lend(self) -> Listener:
        self.lent.append(self.ports.lend())
        return self.lent[-1]

    def link(self) -> Link:
        return self.toxiproxies.link(
            LinkId("payment", next(self.numbers), "broker"), self.lend(), self.upstream.address
        )


@pytest.fixture(scope="module")
def server(backend_launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> tuple[Instance, LinkPorts]:
    """A Toxiproxy for this module's links, and where they may listen."""
    instance = start(backend_launcher, Toxiproxy(links=PUBLISHED), tmp_path_factory.mktemp("run") / "toxiproxy")
    return instance, ports_of(instance, backend_launcher)


@pytest.fixture
def bench(backend_launcher: Launcher, server: tuple[Instance, LinkPorts]) -> Iterator[Bench]:
    instance, ports = server
    with (
        closing(Upstream(backend_launcher.ways()[0])) as upstream,
        Toxiproxies(instance.nodes["api"]) as toxiproxies,
    ):
        bench = Bench(instance, toxiproxies, ports, upstream)
        yield bench
        toxiproxies.remove_all()
        for listener in bench.lent:
            ports.give_back(listener)


on_local = pytest.mark.parametrize("backend_launcher", ["local"], indirect=True)
on_docker = pytest.mark.parametrize("backend_launcher", ["docker"], indirect=True)


def test_bytes_pass_both_ways(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)
        assert passes(server, client)
    assert link.id == "payment.0>broker.0"
    assert link.healed is None


@on_local
def test_port_0_takes_a_free_port_and_keeps_it(bench: Bench) -> None:
    link = bench.toxiproxies.link(LinkId("a", 0, "broker"), Address("127.0.0.1", 0), bench.upstream.address)
    assert link.listen.port > 0
    assert link.read_back()["listen"] == str(link.listen)


def test_a_black_hole_swallows_and_closes_both_ends_when_it_heals(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)
        with link.apply(BLACK_HOLE_IN, BLACK_HOLE_OUT) as evidence:
            assert swallowed(client, server)
            assert swallowed(server, client)
            assert evidence.ok
            assert {toxic["name"] for toxic in evidence.facts["toxics"]} == {"timeout_downstream", "timeout_upstream"}
            assert evidence.facts["link"] == link.id
        assert closed(client)
        assert closed(server)
    assert link.healed is not None
    assert link.healed.ok
    assert link.healed.facts["toxics"] == []
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)


@pytest.mark.parametrize("hole", [BLACK_HOLE_IN, BLACK_HOLE_OUT], ids=["in", "out"])
def test_a_black_hole_of_one_direction_lets_the_other_pass(bench: Bench, hole: dict[str, Any]) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server), link.apply(hole):
        if hole is BLACK_HOLE_IN:
            assert passes(client, server)
            assert swallowed(server, client)
        else:
            assert passes(server, client)
            assert swallowed(client, server)


def test_latency_delays(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server), link.apply(toxic("latency", latency=200)):
        began = time.monotonic()
        assert passes(client, server)
        assert time.monotonic() - began >= 0.2


def test_no_bandwidth_is_a_stall_without_loss(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server):
        with link.apply(toxic("bandwidth", rate=0)):
            assert swallowed(client, server)
            assert passes(server, client)
        assert server.recv(4) == b"lost"


def test_slices_arrive_whole_and_in_order(bench: Bench) -> None:
    link = bench.link()
    sent = bytes(range(100))
    with (
        bench.upstream.through(link) as (client, server),
        link.apply(toxic("slicer", average_size=10, delay=10_000)),
    ):
        began = time.monotonic()
        client.sendall(sent)
        arrived: list[bytes] = []
        while len(b"".join(arrived)) < len(sent):
            arrived.append(server.recv(100))
        assert b"".join(arrived) == sent
        assert len(arrived) > 2
        assert time.monotonic() - began >= 0.05


def test_limited_data_closes_after_so_many_bytes(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server), link.apply(toxic("limit_data", bytes=4)):
        assert passes(client, server)
        client.sendall(b"more")
        assert closed(server)


def test_a_slow_close_is_seen_later(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server), link.apply(toxic("slow_close", "downstream", delay=200)):
        began = time.monotonic()
        server.close()
        assert client.recv(1) == b""
        assert time.monotonic() - began >= 0.2


def test_a_timeout_closes(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server), link.apply(toxic("timeout", timeout=100)):
        client.sendall(b"lost")
        assert server.recv(1) == b""
        assert closed(client)


def test_a_reset_is_a_reset_at_the_client(bench: Bench) -> None:
    """Of connections that are opened while it is there, once bytes flow its way."""
    link = bench.link()
    with (
        link.apply(toxic("reset_peer", "downstream", timeout=0)),
        bench.upstream.through(link) as (client, server),
    ):
        server.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_another_link_of_the_same_server_is_untouched(bench: Bench) -> None:
    cut_off, other = bench.link(), bench.link()
    with bench.upstream.through(other) as (client, server), cut_off.apply(BLACK_HOLE_IN, BLACK_HOLE_OUT):
        assert passes(client, server)
        assert other.read_back()["toxics"] == []


def test_disable_closes_and_refuses_until_enable(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server):
        assert link.disable().ok
        assert closed(client)
        assert closed(server)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((link.listen.host, link.listen.port), 1)
    assert link.enable().ok
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)


def test_an_enable_that_finds_its_port_taken_is_not_claimed(bench: Bench) -> None:
    link = bench.link()
    link.disable()
    bench.toxiproxies.link(LinkId("quicker", 0, "broker"), bench.lent[0], bench.upstream.address)
    with pytest.raises(HarnessBroke, match="address already in use"):
        link.enable()
    assert link.read_back()["enabled"] is False


def test_a_link_on_a_taken_port_says_so(bench: Bench) -> None:
    bench.link()
    (taken,) = bench.lent
    with pytest.raises(HarnessBroke, match=rf"late\.0>broker\.0 from {taken.bind}.*address already in use"):
        bench.toxiproxies.link(LinkId("late", 0, "broker"), taken, bench.upstream.address)


def test_an_id_that_is_in_use_says_so(bench: Bench) -> None:
    link = bench.link()
    with pytest.raises(HarnessBroke, match="already has a proxy"):
        bench.toxiproxies.link(link.link_id, bench.lend(), bench.upstream.address)


@on_docker
def test_a_published_port_is_lent_again_and_again_to_one_link_at_a_time(bench: Bench) -> None:
    links = [bench.link() for _ in range(PUBLISHED)]
    assert len({link.listen for link in links}) == PUBLISHED
    with pytest.raises(HarnessBroke, match=f"all {PUBLISHED} published ports of Toxiproxy's container are in use"):
        bench.link()
    assert links[3].remove().ok
    bench.ports.give_back(bench.lent.pop(3))
    link = bench.link()
    assert link.listen == links[3].listen
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)


def test_a_host_name_to_listen_on_is_refused(bench: Bench) -> None:
    with pytest.raises(BadInput, match="IPv4"):
        bench.toxiproxies.link(LinkId("a", 0, "broker"), Address("localhost", 0), bench.upstream.address)


def test_an_unknown_attribute_is_refused_before_it_is_sent(bench: Bench) -> None:
    link = bench.link()
    with pytest.raises(BadInput, match="no attribute 'delay'"):
        link.apply({"type": "timeout", "stream": "upstream", "attributes": {"delay": 5}})
    assert link.read_back()["toxics"] == []


def test_what_toxiproxy_ignores_is_found_by_reading_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    ignored = {**BLACK_HOLE_OUT, "name": "odd", "toxicity": 1.0, "attributes": {"timeuot": 5}}
    monkeypatch.setattr(link_module, "checked", lambda toxics: [ignored])
    link = bench.link()
    with (
        pytest.raises(HarnessBroke, match=r"payment\.0>broker\.0: asked for toxic .*timeuot.*Toxiproxy has"),
        link.apply(),
    ):
        pytest.fail("applied")
    assert link.read_back()["toxics"] == []


def test_a_toxic_that_is_already_there_is_refused_and_the_first_one_stays(bench: Bench) -> None:
    link = bench.link()
    with link.apply(BLACK_HOLE_OUT):
        with pytest.raises(HarnessBroke, match="already exists"), link.apply(LATENCY, BLACK_HOLE_OUT):
            pytest.fail("applied")
        assert [toxic["name"] for toxic in link.read_back()["toxics"]] == ["timeout_upstream"]
    assert link.read_back()["toxics"] == []


def test_a_toxic_that_went_early_is_found_at_the_heal_and_the_rest_still_goes(bench: Bench) -> None:
    link = bench.link()
    with pytest.raises(HarnessBroke, match="gone before that: latency_downstream"), link.apply(LATENCY, BLACK_HOLE_OUT):
        link._consumer.delete(f"/proxies/{link.id}/toxics/latency_downstream")
    assert link.healed is not None
    assert not link.healed.ok
    assert link.read_back()["toxics"] == []


def test_toxics_on_a_disabled_link_are_no_evidence(bench: Bench) -> None:
    link = bench.link()
    link.disable()
    with pytest.raises(HarnessBroke, match="'enabled': True"), link.apply(BLACK_HOLE_OUT):
        pytest.fail("applied")
    assert link.read_back()["toxics"] == []


def test_a_toxic_that_hangs_is_given_up_and_the_link_made_anew(bench: Bench) -> None:
    link, other = bench.link(), bench.link()
    listen = link.listen
    with Toxiproxies(bench.server.nodes["api"], timeout_s=1.0) as hasty:
        link._consumer.timeout_s = 1.0
        with bench.upstream.through(link) as (client, server):
            assert stuff(client) > 0
            with pytest.raises(HarnessBroke, match="which hung") as hung, link.apply(BLACK_HOLE_OUT):
                pytest.fail("applied")
            assert isinstance(hung.value.__cause__, Unanswered)
            assert closed(client)
        assert link.read_back()["toxics"] == []
        assert hasty.link(LinkId("late", 0, "broker"), bench.lend(), bench.upstream.address)
    assert link.listen == listen
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)
    with bench.upstream.through(other) as (client, server):
        assert passes(client, server)


def test_remove_ends_the_link(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, _):
        assert link.remove().ok
        assert closed(client)
    with pytest.raises(Refused, match="proxy not found"):
        link.remove()


def test_remove_all_removes_every_link(bench: Bench) -> None:
    links = [bench.link() for _ in range(3)]
    assert bench.toxiproxies.remove_all().ok
    for link in links:
        with pytest.raises(Refused, match="proxy not found"):
            link.read_back()


def test_remove_all_gets_past_a_link_that_hangs(bench: Bench) -> None:
    link = bench.link()
    link._consumer.timeout_s = 1.0
    with bench.upstream.through(link) as (client, _):
        assert stuff(client) > 0
        with pytest.raises(Unanswered):
            link._proxy.add_toxic(type="timeout", stream="upstream", attributes={"timeout": 0})
        assert bench.toxiproxies.remove_all().ok
        assert closed(client)


def test_odd_service_names_make_links(bench: Bench) -> None:
    listener = bench.lend()
    for service in ("a/b", "sp ace", "q?x#y", "100%", "grün"):
        link = bench.toxiproxies.link(LinkId(service, 0, "effect.mail"), listener, bench.upstream.address)
        with link.apply(BLACK_HOLE_IN) as evidence:
            assert evidence.facts["link"] == f"{service}.0>effect.mail.0"
        assert link.remove().ok


@pytest.fixture
def mortal(backend_launcher: Launcher, tmp_path: Path) -> Iterator[tuple[Instance, Link]]:
    """A Toxiproxy of a test's own, with a link; a call to it is given up after a second."""
    server = start(backend_launcher, Toxiproxy(links=1), tmp_path / "mortal")
    with (
        closing(Upstream(backend_launcher.ways()[0])) as upstream,
        Toxiproxies(server.nodes["api"], timeout_s=1.0) as toxiproxies,
    ):
        listener = ports_of(server, backend_launcher).lend()
        yield server, toxiproxies.link(LinkId("a", 0, "broker"), listener, upstream.address)
    server.stop(0)


def test_a_server_that_is_frozen_or_gone_is_told_apart(mortal: tuple[Instance, Link]) -> None:
    server, link = mortal
    assert server.signal(Signal.FREEZE).ok
    with pytest.raises(Unanswered, match=r"within 1 s"):
        link.disable()
    assert server.signal(Signal.THAW).ok
    assert server.signal(Signal.KILL).ok
    with pytest.raises(HarnessBroke, match="is the server still there"):
        link.enable()
    with pytest.raises(HarnessBroke, match="is the server still there"), link.apply(BLACK_HOLE_IN):
        pytest.fail("applied")


def test_a_heal_without_a_server_is_not_claimed(mortal: tuple[Instance, Link]) -> None:
    server, link = mortal
    with pytest.raises(HarnessBroke), link.apply(BLACK_HOLE_IN):
        server.signal(Signal.KILL)
    assert link.healed is not None
    assert not link.healed.ok
