"""`wipe`: the store loses its data, as one that keeps nothing on disk does when it is restarted, or fails over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.store import no_store, not_recorded, records
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target


class Wipe:
    """All that the flow has in its store is taken away; then the broker hands the message over again."""

    id = "wipe"
    action = Action.HOLD
    release = Release.SEVER
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the store's own count, before and after."""
        store = target.store
        if store is None or not records(target, store):
            yield not_recorded(store) if store else no_store()
            return
        injection = Injection(store.store.wipe(store.server, store.namespace))
        yield injection
        injection.healed = Evidence(True, "nothing to heal: what was remembered is gone for good")
