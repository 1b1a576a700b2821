"""Which client of a link a connection at its tap is: the address that the client has at its own end.

Goes in: Toxiproxy's log, a link, the connection's ordinal among the link's `connect`s in the ledger. Comes out: the
client's address as Toxiproxy saw it, which for a process of this machine, or a container on the links' network, is its
own local address. To try it: `suites/conformance/test_links_accepted.py`.

Toxiproxy accepts a client, says so, and has connected to the tap before it accepts the next one: the tap meets the
connections of one link in the order in which Toxiproxy names them. One that could not be passed on is named, too, and
left out here. A proxy that was made anew goes on where the one before it was; a later scenario's link of the same id
leads to another tap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaosharness.links.link import proxy_name
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.wait import wait_for

WITHIN_S = 2.0
"""A line is in the log a few milliseconds after the connection is at the tap."""
POLL_S = 0.02
ACCEPTED = "Accepted client"
NOT_PASSED_ON = "Unable to open connection to upstream"


def client_of(log: Path, link: LinkId, upstream: Address, ordinal: int, within_s: float = WITHIN_S) -> Address:
    """Of the connection that was the link's `ordinal`th (from 1) at the tap, which Toxiproxy reaches at `upstream`.

    Raises HarnessBroke where the log does not say it in time.
    """

    def look() -> Address | None:
        found = clients(log, link, upstream)
        return found[ordinal - 1] if len(found) >= ordinal else None

    return wait_for(
        f"Toxiproxy to name client {ordinal} of {link} in {log}",
        within_s,
        look,
        poll_s=POLL_S,
        last_seen=lambda: f"{len(clients(log, link, upstream))} of them",
        error=HarnessBroke,
    )


def clients(log: Path, link: LinkId, upstream: Address) -> list[Address]:
    """All that were passed on so far, in order."""
    found: list[Address] = []
    name = proxy_name(link)
    for said in _lines(log, name):
        if said.get("name") != name or said.get("upstream") != str(upstream):
            continue
        match said.get("message"):
            case message if message == ACCEPTED:
                found.append(Address.parse(said["client"]))
            case message if message == NOT_PASSED_ON:
                found.pop()  # the next is accepted only after that
            case _:
                pass
    return found


def _lines(log: Path, name: str) -> Iterator[dict[str, Any]]:
    """What Toxiproxy says as JSON, behind the time that the log gives each line. Nothing where there is no log yet."""
    try:
        text = log.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.splitlines(keepends=True):
        if name in line and line.endswith("\n"):
            try:
                yield json.loads(line[line.index("{") :])
            except ValueError:
                continue  # a line of something else
