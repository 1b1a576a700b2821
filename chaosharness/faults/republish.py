"""`republish`: the aimed message comes once more, as from an upstream that retried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target


class Republish:
    """The first delivery is held, so that the broker surely has the message; its bytes are published once more."""

    id = "republish"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = False

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the broker's answer to the second publish."""
        injection = Injection(target.republish())
        yield injection
        injection.healed = Evidence(True, "nothing to heal: the second message is in the broker")
