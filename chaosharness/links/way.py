"""Whether this machine reaches Toxiproxy, and Toxiproxy this machine: proven before anything depends on it.

Goes in: a Toxiproxy, ways that may lead back here. Comes out: the first that does, or an error that says which half is
missing. To try it: `suites/conformance/test_links_way.py`.
"""

from __future__ import annotations

import secrets
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from chaosharness.links.ports import LinkPorts
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Way

PROVEN_WITHIN_S = 5.0
PROBE = LinkId("harness", 0, "probe")
NONCE_BYTES = 16


def find_way(toxiproxies: Toxiproxies, ports: LinkPorts, ways: Sequence[Way]) -> Way:
    """The first way by which bytes sent through Toxiproxy arrive here. Raises BadInput."""
    problems = []
    for way in ways:
        problem = _problem(toxiproxies, ports, way)
        if problem is None:
            return way
        problems.append(problem)
    raise BadInput(
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
            problem: str | None = "not proven"
            try:
                problem = _try(server, listener.listen, upstream)
            finally:
                # a Toxiproxy that waits for an answer from here does not remove it; the problem is then the news
                with suppress(HarnessBroke) if problem else nullcontext():
                    link.remove()
            return problem
    except OSError as refused:
        return f"this machine cannot listen at {way.bind}: {refused}"
    finally:
        ports.give_back(listener)


def _try(server: socket.socket, listen: Address, upstream: Address) -> str | None:
    nonce = secrets.token_bytes(NONCE_BYTES)
    try:
        sender = socket.create_connection((listen.host, listen.port), PROVEN_WITHIN_S)
    except OSError as refused:
        raise BadInput(
            f"this machine does not reach Toxiproxy's published port {listen}: {refused}. Is there a firewall between? "
            "TESTCONTAINERS_HOST_OVERRIDE names another host for published ports"
        ) from refused
    with sender, selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.register(sender, selectors.EVENT_READ)
        sender.sendall(nonce)
        deadline = time.monotonic() + PROVEN_WITHIN_S
        while (left := deadline - time.monotonic()) > 0:
            ready = [key.fileobj for key, _ in selector.select(left)]
            if server in ready:
                if _received(server) == nonce:  # whoever else connects has none
                    return None
            elif ready:
                return f"Toxiproxy's container cannot connect to this machine at {upstream}"
    return f"Toxiproxy's container does not reach this machine at {upstream} (nothing within {PROVEN_WITHIN_S:g} s)"


def _received(server: socket.socket) -> bytes:
    with suppress(OSError):
        connection, _ = server.accept()
        with connection:
            connection.settimeout(PROVEN_WITHIN_S)
            return connection.recv(NONCE_BYTES, socket.MSG_WAITALL)
    return b""
