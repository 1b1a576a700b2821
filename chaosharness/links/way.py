"""Whether this machine reaches Toxiproxy, and Toxiproxy this machine: proven before anything depends on it.

Goes in: a Toxiproxy, ways that may lead back here. Comes out: the first that does, or an error that says which half is
missing. To try it: `suites/conformance/test_links_way.py`.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from chaosharness.links.ports import LinkPorts
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Way

PROVEN_WITHIN_S = 3.0
PROBE = LinkId("harness", 0, "probe")
NONCE_BYTES = 16


def find_way(toxiproxies: Toxiproxies, ports: LinkPorts, ways: Sequence[Way]) -> Way:
    """The first way by which bytes sent through Toxiproxy arrive here. Raises HarnessBroke."""
    problems = []
    for way in ways:
        problem = _problem(toxiproxies, ports, way)
        if problem is None:
            return way
        problems.append(problem)
    raise HarnessBroke(
        f"taps and sinks are on this machine, and containers must reach them: {'; '.join(problems)}. "
        "Is there a firewall between, or another name for this machine there? CHAOSHARNESS_HOST names it"
    )


def _problem(toxiproxies: Toxiproxies, ports: LinkPorts, way: Way) -> str | None:
    listener = ports.lend()
    try:
        with socket.create_server((way.bind, 0)) as server:
            server.settimeout(PROVEN_WITHIN_S)
            upstream = Address(way.seen_as, server.getsockname()[1])
            link = toxiproxies.link(PROBE, listener, upstream)
            try:
                return _try(server, listener.listen, upstream)
            finally:
                link.remove()
    except OSError as refused:
        return f"this machine cannot listen at {way.bind}: {refused}"
    finally:
        ports.give_back(listener)


def _try(server: socket.socket, listen: Address, upstream: Address) -> str | None:
    nonce = secrets.token_bytes(NONCE_BYTES)
    try:
        sender = socket.create_connection((listen.host, listen.port), PROVEN_WITHIN_S)
    except OSError as refused:
        return f"this machine does not reach Toxiproxy's published port {listen}: {refused}"
    with sender:
        sender.sendall(nonce)
        deadline = time.monotonic() + PROVEN_WITHIN_S
        while time.monotonic() < deadline:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:  # whoever else connects has no nonce
                    connection.settimeout(PROVEN_WITHIN_S)
                    if connection.recv(NONCE_BYTES, socket.MSG_WAITALL) == nonce:
                        return None
    return f"Toxiproxy's container does not reach this machine at {upstream} (nothing within {PROVEN_WITHIN_S:g} s)"
