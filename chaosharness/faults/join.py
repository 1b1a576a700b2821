"""`join`: one more replica comes while a message is in a consumer's hands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target


class Join:
    """One more replica, subscribed before what is held goes on; it stays until the scenario's end."""

    id = "join"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True
    deadline_s = 30.0
    """It starts as slowly as the service does."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence: a tap has seen the newcomer subscribe."""
        injection = Injection(target.join())
        yield injection
        injection.healed = Evidence(True, "the newcomer stays; nothing is to be undone")
