"""`refuse`: the replica's connections to the broker are closed, and new ones refused, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.event import Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0
LASTS_S = 2.0
"""Longer than it takes most clients to try again."""


class Refuse:
    """As by a firewall, or a broker that is not there: each attempt fails at once."""

    id = "refuse"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: a connection that was tried is refused, and what was connected is at end of file."""
        link = target.link
        refused = link.disable()
        injection = Injection(refused)
        through = None
        try:
            gone = target.ticket.await_gone(GONE_WITHIN_S)
            what = f"{refused.what}; {gone.what}"
            injection.evidence = Evidence(refused.ok and gone.ok, what, {**gone.facts, **refused.facts})
            mark = len(target.witness.so_far())
            yield injection
            through = target.witness.wait(
                f"a connection of {link.id} in spite of it",
                LASTS_S,
                lambda event: event.kind is Kind.CONNECT and event.link == link.id,
                mark,
            )
        finally:
            enabled = link.enable()
        meanwhile = "a connection had come through" if through else f"none came through in {LASTS_S:g} s"
        injection.healed = Evidence(enabled.ok and through is None, f"{enabled.what}; {meanwhile}", enabled.facts)
