"""`restart`: the store is stopped in good order and started again on its data; without its data it is `wipe`.

A process's end leaves the page cache: whether a store syncs what it confirms, only a host's loss can show.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.store import no_store, not_recorded, records
from chaosharness.model.errors import TimedOut
from chaosharness.model.gate import Action
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, StoreTarget, Target

ENDS_WITHIN_S = 10.0


class StoreRestart:
    """SIGTERM to the store, its end, its next start; every connection to it is closed. Then the message comes again."""

    id = "restart"
    action = Action.HOLD
    release = Release.SEVER
    until = "at_once"
    leaves_survivors = True
    deadline_s = 30.0

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: asked to end, ended, started again, and it serves clients."""
        store = target.store
        if store is None or not records(target, store):
            yield not_recorded(store) if store else no_store()
            return
        injection = Injection(_restarted(store))
        yield injection
        alive = store.server.alive()
        injection.healed = Evidence(alive, f"{store.server.name} {'runs' if alive else 'does not run'}")


def _restarted(store: StoreTarget) -> Evidence:
    """Whatever comes of the request to end, the store is up again afterwards: other scenarios need it."""
    asked = store.server.signal(Signal.TERM, Scope.PARENT)
    try:
        wait_for(f"{store.server.name} to end after SIGTERM", ENDS_WITHIN_S, lambda: not store.server.alive())
        ended = Evidence(True, f"{store.server.name} ended by itself")
    except TimedOut as still:
        ended = Evidence(False, f"{still}; {store.server.signal(Signal.KILL).what}")
    started = store.server.restart(keep_data=True)
    store.server_ready()
    what = f"{asked.what}; {ended.what}; {started.what}; it serves clients again"
    return Evidence(asked.ok and ended.ok and started.ok, what, {**asked.facts, **started.facts})
