"""Links over a real Toxiproxy: what they do to bytes, and that nothing is claimed that was not read back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from links_peers import Upstream, closed, passes, stuff, swallowed

from chaosharness.links import link as link_module
from chaosharness.links.library import Refused, Unanswered
from chaosharness.links.link import Link
from chaosharness.links.toxics import BLACK_HOLE_IN, BLACK_HOLE_OUT
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Instance, Signal
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import Toxiproxy

LATENCY = {"type": "latency", "stream": "downstream", "attributes": {"latency": 5}}


@dataclass
class Bench:
    """A running Toxiproxy, what speaks to it, and somewhere for links to lead."""

    launcher: LocalLauncher
    server: Instance
    toxiproxies: Toxiproxies
    upstream: Upstream
    numbers: Iterator[int]

    def link(self) -> Link:
        listen = Address("127.0.0.1", self.launcher.free_port())
        return self.toxiproxies.link(LinkId("payment", next(self.numbers), "broker"), listen, self.upstream.address)


@pytest.fixture
def bench(launcher: LocalLauncher, toxiproxy_server: Instance, toxiproxies: Toxiproxies) -> Iterator[Bench]:
    with closing(Upstream()) as upstream:
        yield Bench(launcher, toxiproxy_server, toxiproxies, upstream, count())


def test_bytes_pass_both_ways(bench: Bench) -> None:
    link = bench.link()
    with bench.upstream.through(link) as (client, server):
        assert passes(client, server)
        assert passes(server, client)
    assert link.id == "payment.0>broker.0"
    assert link.healed is None


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
    with (
        socket.create_server((link.listen.host, link.listen.port)),
        pytest.raises(HarnessBroke, match="address already in use"),
    ):
        link.enable()
    assert link.read_back()["enabled"] is False


def test_a_link_on_a_taken_port_says_so(bench: Bench) -> None:
    taken = bench.upstream.address
    with pytest.raises(HarnessBroke, match=rf"late\.0>broker\.0 from {taken}.*address already in use"):
        bench.toxiproxies.link(LinkId("late", 0, "broker"), taken, bench.upstream.address)


def test_an_id_that_is_in_use_says_so(bench: Bench) -> None:
    link = bench.link()
    with pytest.raises(HarnessBroke, match="already has a proxy"):
        bench.toxiproxies.link(link.link_id, Address("127.0.0.1", 0), bench.upstream.address)


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
        assert hasty.link(LinkId("late", 0, "broker"), Address("127.0.0.1", 0), bench.upstream.address)
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
    for service in ("a/b", "sp ace", "q?x#y", "100%", "grün"):
        link = bench.toxiproxies.link(
            LinkId(service, 0, "effect.mail"), Address("127.0.0.1", 0), bench.upstream.address
        )
        with link.apply(BLACK_HOLE_IN) as evidence:
            assert evidence.facts["link"] == f"{service}.0>effect.mail.0"
        assert link.remove().ok


def test_a_server_that_is_frozen_or_gone_is_told_apart(launcher: LocalLauncher, tmp_path: Path) -> None:
    server = Toxiproxy().start(launcher, tmp_path / "toxiproxy-frozen")
    upstream = Upstream()
    with Toxiproxies(server.nodes["api"], timeout_s=1.0) as toxiproxies:
        link = toxiproxies.link(LinkId("a", 0, "broker"), Address("127.0.0.1", 0), upstream.address)
        assert server.signal(Signal.FREEZE).ok
        with pytest.raises(Unanswered, match=r"within 1 s"):
            link.disable()
        assert server.signal(Signal.THAW).ok
        assert server.signal(Signal.KILL).ok
        with pytest.raises(HarnessBroke, match="is the server still there"):
            link.enable()
        with pytest.raises(HarnessBroke, match="is the server still there"), link.apply(BLACK_HOLE_IN):
            pytest.fail("applied")
    upstream.close()


def test_a_heal_without_a_server_is_not_claimed(launcher: LocalLauncher, tmp_path: Path) -> None:
    server = Toxiproxy().start(launcher, tmp_path / "toxiproxy-gone")
    upstream = Upstream()
    with Toxiproxies(server.nodes["api"]) as toxiproxies:
        link = toxiproxies.link(LinkId("a", 0, "broker"), Address("127.0.0.1", 0), upstream.address)
        with pytest.raises(HarnessBroke), link.apply(BLACK_HOLE_IN):
            server.signal(Signal.KILL)
        assert link.healed is not None
        assert not link.healed.ok
    upstream.close()
