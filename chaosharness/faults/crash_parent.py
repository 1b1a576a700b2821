"""`crash-parent`: the first process of the replica dies alone; its workers live on as orphans beside the next ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds, started_again
from chaosharness.faults.target import declined
from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Release, Target

NO_ORPHANS = "no process of the service would outlive its first one: `crash` is the same"
SUBSCRIBED_WITHIN_S = 5.0
AT_WORK_WITHIN_S = 1.0


class CrashParent:
    """SIGKILL of the parent alone, then a restart as by a supervisor that watches the parent alone; when the next ones
    are at work, the orphan that has the message goes on with it."""

    id = "crash-parent"
    action = Action.HOLD
    release = Release.FORWARD
    """What the parent itself held went down with its connection."""
    until = "at_once"
    leaves_survivors = True
    deadline_s = 15.0
    """The next ones start as slowly as the service does."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: the parent is gone; how many of its tree are not is told."""
        if target.instance is None:
            yield harness_holds("kill")
            return
        if not target.instance.survivors():
            yield declined(NO_ORPHANS)
            return
        killed = target.instance.signal(Signal.KILL, Scope.PARENT)
        orphans = target.instance.survivors()
        mark = len(target.witness.so_far())
        again = started_again(target)
        beside = _beside(target, mark) if target.restarts and again.ok else "nothing is started beside them"
        what = f"{killed.what}; {orphans} of its descendants live on; {again.what}; {beside}"
        injection = Injection(Evidence(killed.ok, what, {**killed.facts, "orphans": orphans}))
        yield injection
        injection.healed = again


def _beside(target: Target, mark: int) -> str:
    """Waits, for a while, until the next ones do what the orphans do: the message in hand is then in danger."""
    link = target.link.id
    opened = {event.conn for event in target.witness.so_far()[:mark] if event.kind is Kind.CONNECT}

    def subscribed(event: Event) -> bool:
        return event.kind is Kind.SUBSCRIBED and event.link == link and event.data.get("source") is True

    def at_work(event: Event) -> bool:
        return event.kind is Kind.EFFECT and event.conn not in opened

    if target.witness.wait("the next ones to subscribe", SUBSCRIBED_WITHIN_S, subscribed, mark) is None:
        return f"beside them nobody subscribed within {SUBSCRIBED_WITHIN_S:g} s"
    found = target.witness.wait("the next ones to apply an effect", AT_WORK_WITHIN_S, at_work, mark)
    return "the next ones are at work beside them" if found else "the next ones have subscribed beside them"
