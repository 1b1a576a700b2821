"""Where links may listen: ports of a container are few, and lent to one link at a time."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from chaosharness.links.ports import FreePorts, Listener, PublishedPorts, ports_of
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke

API = Address("172.20.0.1", 30000)


def toxiproxy(nodes: Mapping[str, Address], inside: Mapping[str, Address]) -> Any:
    return SimpleNamespace(nodes=nodes, inside=inside)


def launcher(*ports: int) -> Any:
    left = iter(ports)
    return SimpleNamespace(free_port=lambda: next(left))


def listener(number: int) -> Listener:
    return Listener(*(Address(host, 20000 + number) for host in ("0.0.0.0", "172.20.0.1", "172.20.0.2")))


def test_of_a_process_any_free_port_is_the_same_from_everywhere() -> None:
    ports = ports_of(toxiproxy({"api": API}, {"api": API}), launcher(20001, 20002))
    assert isinstance(ports, FreePorts)
    first, second = ports.lend(), ports.lend()
    assert {first.bind, first.listen, first.inside} == {Address("127.0.0.1", 20001)}
    assert second.bind == Address("127.0.0.1", 20002)
    ports.give_back(first)


def test_of_a_container_its_published_ports_each_under_three_addresses() -> None:
    nodes = {"api": API, "link.0": Address("172.20.0.1", 20000), "link.1": Address("172.20.0.1", 20001)}
    inside = {
        "api": Address("172.20.0.2", 8474),
        "link.0": Address("172.20.0.2", 20000),
        "link.1": Address("172.20.0.2", 20001),
    }
    ports = ports_of(toxiproxy(nodes, inside), launcher())
    assert [ports.lend(), ports.lend()] == [listener(0), listener(1)]


def test_where_none_is_left_it_says_how_many_there_are_and_one_that_is_given_back_is_lent_again() -> None:
    ports = PublishedPorts(listener(number) for number in range(3))
    lent = [ports.lend() for _ in range(3)]
    with pytest.raises(HarnessBroke, match="all 3 published ports of Toxiproxy's container are in use"):
        ports.lend()
    ports.give_back(lent[1])
    assert ports.lend() == lent[1]
    with pytest.raises(HarnessBroke, match="all 3"):
        ports.lend()


def test_the_port_that_was_free_for_longest_comes_first() -> None:
    """What a port's last connections left on their way is gone by then."""
    ports = PublishedPorts(listener(number) for number in range(3))
    ports.give_back(ports.lend())
    assert ports.lend() == listener(1)


def test_no_port_is_lent_twice_to_threads() -> None:
    ports = PublishedPorts(listener(number) for number in range(200))
    with ThreadPoolExecutor(8) as pool:
        lent = list(pool.map(lambda _: ports.lend(), range(200)))
    assert len(set(lent)) == 200
