"""`reset`: the connection that has the message is lost, and those that follow it are reset, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

TOXICS = tuple({"type": "reset_peer", "stream": stream} for stream in ("upstream", "downstream"))
GONE_WITHIN_S = 5.0
AGAIN_WITHIN_S = 6.0
"""Clients come back after 0.03 to 5 s."""


class Reset:
    """On the link where the message is held, to the broker or the sink.

    The toxic resets connections that were opened after it; the one that was there is closed.
    """

    id = "reset"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the toxics, read back; the held connection at end of file; then whether a new one was reset."""
        mark = len(target.witness.so_far())
        link = target.held_link
        with link.apply(*TOXICS) as applied:
            severed = target.sever_held()
            gone = target.ticket.await_gone(GONE_WITHIN_S)
            what = f"{applied.what}; {severed.what}; {gone.what}"  # what passed in between may have closed it already
            facts = {**severed.facts, **gone.facts, **applied.facts}
            injection = Injection(Evidence(applied.ok and gone.ok, what, facts))
            yield injection
            again = _reset_again(target, mark) if injection.evidence.ok else "no matter"
        injection.healed = Evidence(True, f"the toxics are gone from {link.id}; meanwhile {again}", {"link": link.id})


def _reset_again(target: Target, mark: int) -> str:
    """Whether the replica came back while it was in vain."""
    link, came = target.held_link.id, set()

    def in_vain(event: Event) -> bool:
        if event.link == link and event.kind is Kind.CONNECT:
            came.add(event.conn)
        return event.link == link and event.kind is Kind.DISCONNECT and event.conn in came

    found = target.witness.wait(f"a new connection of {link} to be reset", AGAIN_WITHIN_S, in_vain, mark)
    return "a new connection was reset" if found else f"nobody came back within {AGAIN_WITHIN_S:g} s"
