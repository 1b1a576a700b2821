"""What the tests of a real relay share: the process, one scenario of it, and what its ledger says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaosharness.ledger.reader import merge, read
from chaosharness.model.address import BROKER, Address, LinkId
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action, Gate, Point
from chaosharness.model.key import make_key
from chaosharness.model.wait import wait_for
from chaosharness.ports.wire import CodecOptions
from chaosharness.relay.client import RelayClient

NONCE = "kabcd"
QUEUE = "orders"
LINK = LinkId("payment", 0, BROKER)
SOON_S = 30.0
KEYS = [make_key(NONCE, number) for number in range(10)]
AIMED = KEYS[4]
GATE = "g"


class Scene:
    """One scenario of a relay; its gates stand on links of the service `payment`."""

    def __init__(self, relay: RelayClient, folder: Path, nonce: str = NONCE, others: tuple[str, ...] = ()) -> None:
        folder.mkdir()
        self.relay, self.folder = relay, folder
        relay.begin(folder, nonce, others)

    def tap(self, upstream: Address, codec: str = "amqp", link: LinkId = LINK) -> Address:
        return self.relay.tap(link, upstream, codec, CodecOptions(QUEUE))

    def arm(self, point: Point, action: Action, key: str = AIMED, **options: Any) -> None:
        self.relay.arm(Gate(GATE, point, action, key, "payment", **{"server": BROKER, **options}))

    def events(self, *kinds: Kind) -> list[Event]:
        """All that the ledger has by now, torn or not, in order."""
        events, _ = read(self.folder / "relay.ledger.jsonl")
        return [event for event in events if event.kind in kinds]

    def keys(self, kind: Kind, *, discarded: bool = False) -> list[str]:
        """The keys of what went on, or of what was thrown away."""
        return [
            key for event in self.events(kind) if event.data.get("discarded", False) is discarded for key in event.keys
        ]

    def wait(self, *kinds: Kind, count: int = 1) -> list[Event]:
        """Waits until that many events of these kinds are there."""

        def enough() -> list[Event]:
            found = self.events(*kinds)
            return found if len(found) >= count else []

        return wait_for(f"{count} of {kinds}", SOON_S, enough, last_seen=lambda: self.events(*Kind))

    def release(self, forward: bool) -> bool:
        return self.relay.release(GATE, forward)

    def released(self) -> tuple[bool, str]:
        """How the only hold ended: whether what was held went on, and why."""
        (event,) = self.wait(Kind.GATE_RELEASED)
        return event.data["forwarded"], event.data["why"]


@contextmanager
def scene_of(relay: RelayClient, folder: Path) -> Iterator[Scene]:
    """A scenario that must end with nothing broken in the relay, and a ledger without a gap."""
    relay.failures.clear()
    scene = Scene(relay, folder)
    yield scene
    relay.end()
    assert relay.failures == []
    assert merge(folder).gaps == ()
