"""One Toxiproxy and the links in it.

In: the address of its API; for each link its id, where it listens, where it leads. Out: `Link`s.
To try it: `suites/conformance/test_links.py`.

Any number of these live side by side in one process; each speaks to its own server, with a time-out on every call.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from chaosharness.links.library import CALL_TIMEOUT_S, Consumer, Library, Refused, Unanswered
from chaosharness.links.link import Link, proxy_name
from chaosharness.links.ports import Listener
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Evidence


class Toxiproxies:
    """A wrapper of toxiproxy-python for the server at `address`; close it, or use it as a context manager."""

    def __init__(self, address: Address, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.address = address
        self._consumer = Consumer(address, timeout_s)
        self._library = Library(self._consumer)
        self._made: set[str] = set()

    def __enter__(self) -> Toxiproxies:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection to the API; the links stay."""
        self._consumer.close()

    def version(self) -> str:
        """As the server tells it; a server built by `go install` says `git`. Raises HarnessBroke."""
        return str(self._consumer.get("/version").json()["version"])

    def link(self, id: LinkId, where: Listener | Address, upstream: Address) -> Link:
        """A new link that listens there. An address: the same from everywhere, its port 0 for a free one.

        A port of the kernel's own choice can be lost to somebody else while the link is disabled: who disables links
        gives ports below the ephemeral range (`Launcher.free_port`). Raises BadInput where the host is no IPv4 address,
        HarnessBroke where the port is taken or the id is already in use.
        """
        listener = where if isinstance(where, Listener) else Listener(where, where, where)
        bind = listener.bind
        try:
            IPv4Address(bind.host)
        except ValueError:
            raise BadInput(f"link {id}: listens at {bind}, expected an IPv4 address as host") from None
        self._made.add(proxy_name(id))  # before the call, which may make it and not be heard
        link = Link(id, listener, lambda at: self._create(id, at, upstream), self._consumer, self._made)
        found = link.read_back()
        bound = Address.parse(found["listen"])
        # Go's name for every address of the machine is [::]
        fits = bound.host in (bind.host, "[::]" if bind.host == "0.0.0.0" else None) and bind.port in (0, bound.port)
        if not fits or found["upstream"] != str(upstream) or found["enabled"] is not True or found["toxics"]:
            link.remove()
            raise HarnessBroke(f"link {id}: asked for {bind} to {upstream}, Toxiproxy has {found}")
        return link

    def remove_all(self) -> Evidence:
        """Removes every proxy of the server, whoever made it, and reads back that none is left. Raises HarnessBroke."""
        try:
            self._library.server.destroy_all()
        except Unanswered:
            # A link that hangs hides the list of all; the links known by name can be removed without it.
            for name in sorted(self._made):
                self._remove(name)
            self._library.server.destroy_all()
        left = sorted(self._library.server.proxies())
        if left:
            raise HarnessBroke(f"Toxiproxy at {self.address}: asked to remove every proxy, and it still has {left}")
        self._made.clear()
        return Evidence(True, f"no proxy left in Toxiproxy at {self.address}", {"proxies": []})

    def _create(self, id: LinkId, listen: Address, upstream: Address) -> Any:
        """The library's Proxy. Raises HarnessBroke with Toxiproxy's own words."""
        name = proxy_name(id)
        try:
            return self._library.server.create(str(upstream), name, listen=str(listen), enabled=True)
        except self._library.proxy_exists as error:
            raise HarnessBroke(f"link {id}: Toxiproxy at {self.address} already has a proxy {name}") from error
        except HarnessBroke as error:
            raise HarnessBroke(f"link {id} from {listen} to {upstream}: {error}") from error

    def _remove(self, name: str) -> None:
        try:
            self._consumer.delete(f"/proxies/{name}")
        except Refused as refusal:
            if refusal.status != 404:
                raise
