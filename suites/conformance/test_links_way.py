"""The way from Toxiproxy to this machine is proven by bytes, or the error says which half is missing."""

from __future__ import annotations

import re
import time

import pytest

from chaosharness.links.ports import FreePorts, Listener, PublishedPorts
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.links.way import PROVEN_WITHIN_S, find_way
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput
from chaosharness.ports.launch import Launcher, Way

HERE = Way("127.0.0.1", "127.0.0.1")
REFUSED = Way("127.0.0.1", "127.0.0.2")
"""The probe listens at the one, and is looked for at the other."""
NAMELESS = Way("127.0.0.1", "nowhere..invalid")
"""No name at all, so that no resolver is asked."""


@pytest.fixture
def ports(launcher: Launcher) -> FreePorts:
    return FreePorts(launcher)


def test_a_way_that_is_one(toxiproxies: Toxiproxies, ports: FreePorts) -> None:
    assert find_way(toxiproxies, ports, [HERE]) == HERE
    assert toxiproxies.remove_all().ok


def test_the_first_that_is_one_is_taken(toxiproxies: Toxiproxies, ports: FreePorts) -> None:
    everywhere = Way("0.0.0.0", "127.0.0.1")
    assert find_way(toxiproxies, ports, [REFUSED, everywhere, HERE]) == everywhere


@pytest.mark.parametrize(
    ("way", "said"),
    [
        (REFUSED, r"Toxiproxy's container cannot connect to this machine at 127\.0\.0\.2:\d+"),
        (NAMELESS, r"cannot connect to this machine at nowhere\.\.invalid:\d+"),
        (Way("203.0.113.9", "203.0.113.9"), r"this machine cannot listen at 203\.0\.113\.9: "),
    ],
)
def test_the_way_back_is_missing(toxiproxies: Toxiproxies, ports: FreePorts, way: Way, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(BadInput, match=rf"{said}.*\. Is there a firewall between.* CHAOSHARNESS_HOST names it"):
        find_way(toxiproxies, ports, [way])
    assert time.monotonic() - began < PROVEN_WITHIN_S


def test_every_way_that_was_tried_is_named(toxiproxies: Toxiproxies, ports: FreePorts) -> None:
    with pytest.raises(BadInput, match=re.escape("127.0.0.2:") + r"\d+; .*nowhere\.\.invalid:"):
        find_way(toxiproxies, ports, [REFUSED, NAMELESS])


def test_the_way_in_is_missing(toxiproxies: Toxiproxies, launcher: Launcher) -> None:
    """A port is published under another than it is."""
    bind = Address("127.0.0.1", launcher.free_port())
    published = Address("127.0.0.1", launcher.free_port())
    ports = PublishedPorts([Listener(bind, published, bind)])
    with pytest.raises(BadInput, match=rf"does not reach Toxiproxy's published port {published}: .*_HOST_OVERRIDE"):
        find_way(toxiproxies, ports, [HERE])


def test_ports_are_given_back(toxiproxies: Toxiproxies, launcher: Launcher) -> None:
    bind = Address("127.0.0.1", launcher.free_port())
    ports = PublishedPorts([Listener(bind, bind, bind)])
    with pytest.raises(BadInput):
        find_way(toxiproxies, ports, [REFUSED])
    assert find_way(toxiproxies, ports, [HERE]) == HERE
    assert ports.lend().listen == bind
