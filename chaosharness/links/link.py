"""One link: a Toxiproxy proxy whose every change is read back and compared.

In: toxics (links/toxics.py). Out: evidence, i.e. what Toxiproxy says of the proxy after the change; HarnessBroke where
that is not what was asked for, with both. To try it: `suites/conformance/test_links.py`.

A toxic can hang: while a peer does not read and the buffers are full, adding or removing one blocks for ever, and with
it all that asks for the proxy from then on, even to disable it. The way out is to delete the proxy (which never hangs)
and to make it anew at the same address: its connections are closed, and the evidence says so.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from chaosharness.links.library import Consumer, Refused, Unanswered
from chaosharness.links.ports import Listener
from chaosharness.links.toxics import checked
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Evidence

CONNECT_TIMEOUT_S = 1.0
NOT_FOUND = 404
TOXICITY_TOLERANCE = 1e-6  # Toxiproxy keeps it in 32 bits


def proxy_name(link: LinkId) -> str:
    """The link's id in characters that a path takes as they are; two ids never share one."""
    return re.sub(r"[^A-Za-z0-9_.>-]", lambda found: f"~{ord(found[0]):x}~", str(link))


class Link:
    """A way from a service to a server. Made by `Toxiproxies.link`; implements ports.plugin.ToxicLink."""

    def __init__(
        self, id: LinkId, where: Listener, create: Callable[[Address], Any], consumer: Consumer, made: set[str]
    ) -> None:
        proxy = create(where.bind)
        self.link_id = id
        self.upstream = Address.parse(proxy.upstream)
        self.healed: Evidence | None = None
        """What the last `apply` left behind; None before its end."""
        self._bound = Address.parse(proxy.listen)
        # a port that was left to Toxiproxy is known only now
        self._listen, self.inside = (
            Address(seen.host, seen.port or self._bound.port) for seen in (where.listen, where.inside)
        )
        self._proxy = proxy
        self._create = create
        self._consumer = consumer
        self._made = made

    @property
    def id(self) -> str:
        return str(self.link_id)

    @property
    def listen(self) -> Address:
        """Where a process of this machine connects to (a container: `inside`), until the link is removed."""
        return self._listen

    def apply(self, *toxics: Mapping[str, Any]) -> AbstractContextManager[Evidence]:
        """Adds the toxics, reads them back; on exit removes them, reads back that they are gone, and keeps `healed`.

        Raises BadInput before anything is sent; HarnessBroke, the link being then without the toxics where possible.
        """
        return self._applied(checked(toxics))

    def disable(self) -> Evidence:
        """Closes every connection and refuses new ones, until `enable`. Raises HarnessBroke."""
        self._proxy.disable()
        found = self._expect(enabled=False)
        with socket.socket() as probe:
            probe.settimeout(CONNECT_TIMEOUT_S)
            answer = probe.connect_ex((self._listen.host, self._listen.port))
        if answer != errno.ECONNREFUSED:
            saw = "a connection was accepted" if answer == 0 else errno.errorcode.get(answer, str(answer))
            raise HarnessBroke(f"link {self.id} was disabled: {self._listen} should refuse connections, but {saw}")
        return self._evidence("disabled, connections refused", found)

    def enable(self) -> Evidence:
        """Listens again, at the same address. Raises HarnessBroke, e.g. where something else listens there now."""
        self._proxy.enable()
        return self._evidence("enabled", self._expect(enabled=True))

    def remove(self) -> Evidence:
        """Ends the link: every connection is closed, the proxy is gone. Raises HarnessBroke."""
        self._proxy.destroy()
        try:
            found = self.read_back()
        except Refused as refusal:
            if refusal.status != NOT_FOUND:
                raise
            self._made.discard(self._proxy.name)
            return self._evidence("removed", {"toxics": []})
        raise HarnessBroke(f"link {self.id} was removed, and Toxiproxy still has it: {found}")

    def read_back(self) -> dict[str, Any]:
        """What Toxiproxy says of it now: name, listen, upstream, enabled, toxics. Raises HarnessBroke."""
        found: dict[str, Any] = self._consumer.get(f"/proxies/{self._proxy.name}").json()
        return {field: found.get(field) for field in ("name", "listen", "upstream", "enabled", "toxics")}

    def _expect(self, **asked: Any) -> dict[str, Any]:
        """The state read back, if it is the one asked for, at the addresses that the link has had from the start."""
        asked = {"listen": str(self._bound), "upstream": str(self.upstream), **asked}
        found = self.read_back()
        if any(found[field] != value for field, value in asked.items()):
            raise HarnessBroke(f"link {self.id}: asked for {asked}, Toxiproxy has {found}")
        return found

    @contextmanager
    def _applied(self, wanted: Sequence[dict[str, Any]]) -> Iterator[Evidence]:
        names = [toxic["name"] for toxic in wanted]
        added: list[str] = []
        try:
            for toxic in wanted:
                self._proxy.add_toxic(**toxic)
                added.append(toxic["name"])
            found = self._expect(enabled=True)
            for toxic in wanted:
                self._compare(toxic, found)
        except Unanswered as hung:
            self._make_anew()
            asked = f"link {self.id}: asked for {', '.join(names)}, which hung: does a peer of it not read?"
            raise HarnessBroke(f"{asked} The link was made anew, its connections closed. {hung}") from hung
        except HarnessBroke:
            with suppress(HarnessBroke):  # the first failure is the one to report
                self._remove_toxics(added)
            raise
        try:
            yield self._evidence(f"{', '.join(names)} in place", found)
        finally:
            self.healed = Evidence(False, f"link {self.id}: {', '.join(names)} not known to be gone", {"link": self.id})
            self.healed = self._remove_toxics(names)

    def _compare(self, toxic: Mapping[str, Any], found: Mapping[str, Any]) -> None:
        has = next((have for have in found["toxics"] if have["name"] == toxic["name"]), None)
        same = has is not None and abs(has["toxicity"] - toxic["toxicity"]) < TOXICITY_TOLERANCE
        if has is None or not same or any(has[field] != toxic[field] for field in ("type", "stream", "attributes")):
            raise HarnessBroke(f"link {self.id}: asked for toxic {dict(toxic)}, Toxiproxy has {has or found['toxics']}")

    def _remove_toxics(self, names: Sequence[str]) -> Evidence:
        """Removes them and looks. One that is gone already is an error: its fault was shorter than it seems."""
        how = "gone"
        early = []
        try:
            for name in names:
                try:
                    self._proxy.destroy_toxic(name)
                except Refused as refusal:
                    if refusal.status != NOT_FOUND:
                        raise
                    early.append(name)
        except Unanswered:
            self._make_anew()
            how = "gone, with every connection, as the removal hung"
        found = self.read_back()
        left = [toxic["name"] for toxic in found["toxics"] if toxic["name"] in names]
        if left or early:
            raise HarnessBroke(
                f"link {self.id}: asked Toxiproxy to remove {', '.join(names)}; "
                f"gone before that: {', '.join(early) or 'none'}; still there: {', '.join(left) or 'none'}"
            )
        return self._evidence(f"{', '.join(names)} {how}", found)

    def _make_anew(self) -> None:
        """Ends what hangs: the proxy goes, with its connections and toxics, and one like it takes its address."""
        self._proxy.destroy()
        self._proxy = self._create(self._bound)
        self._expect(enabled=True, toxics=[])

    def _evidence(self, what: str, found: Mapping[str, Any]) -> Evidence:
        facts = {
            "link": self.id,
            "toxics": found["toxics"],
            "listen": str(self._listen),
            "upstream": str(self.upstream),
        }
        return Evidence(True, f"link {self.id}: {what}, as read back", facts)
