"""`crash-child`: the worker child that holds the message dies, e.g. by the out-of-memory killer; its parent lives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.faults.process import harness_holds, own_end
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

GONE_WITHIN_S = 5.0
NO_CHILD = "the message is held by the service's first process: there is no worker child that has it"


class CrashChild:
    """SIGKILL of the one child that has the held connection; what comes after is the affair of the service's own
    supervision."""

    id = "crash-child"
    action = Action.HOLD
    release = Release.DISCARD
    until = "at_once"
    leaves_survivors = True
    deadline_s = 15.0
    """To find the child in a container takes a second or two."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is twofold: the child that had the connection is gone, and this reached its end of file."""
        if target.instance is None:
            yield harness_holds("kill")
            return
        try:
            local = own_end(target)
        except HarnessBroke as unknown:
            yield Injection(Evidence(False, f"whose the held connection is cannot be told: {unknown}"))
            return
        killed = target.instance.kill_owner(local)
        if not killed.ok and killed.facts.get("parent") and len(killed.facts.get("owners", ())) == 1:
            yield Injection(killed, declined=NO_CHILD)
            return
        gone = target.ticket.await_gone(GONE_WITHIN_S) if killed.ok else killed
        what = f"{killed.what}; {gone.what}" if killed.ok else killed.what
        injection = Injection(Evidence(killed.ok and gone.ok, what, {**killed.facts, **gone.facts}))
        yield injection
        alive = target.instance.alive()
        said = "what is left of it goes on" if alive else "it has ended with its child, which its supervisor sees"
        injection.healed = Evidence(True, f"{target.instance.name}: {said}", {"alive": alive})
