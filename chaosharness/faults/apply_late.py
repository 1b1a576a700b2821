"""`apply-late`: the caller gives up on its request, and the sink applies it all the same, and counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

GIVES_UP_WITHIN_S = 15.0
"""Callers' time-outs are 10 s more often than not."""
NOBODY: dict[str, list[str]] = {"apply_late": []}


class ApplyLate:
    """The request is held until its caller's own time-out has closed the connection, then applied."""

    id = "apply-late"
    action = Action.HOLD
    release = Release.FORWARD
    until = "at_once"
    leaves_survivors = True
    deadline_s = GIVES_UP_WITHIN_S + 5.0

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the end of file of the caller's connection; that it was applied the ledger says.

        A caller that does not give up gets its answer: it was late, and nothing happened behind its back.
        """
        target.control_sink({"apply_late": [target.key]})
        gone = target.ticket.await_gone(GIVES_UP_WITHIN_S)
        injection = Injection(Evidence(gone.ok, f"the caller gave up: {gone.what}", gone.facts))
        if not gone.ok:
            target.control_sink(NOBODY)
            injection.declined = (
                f"the caller waits longer than {GIVES_UP_WITHIN_S:g} s for its answer: it was only late"
            )
        yield injection
        injection.healed = Evidence(True, "the sink applies nothing late any more", dict(target.control_sink(NOBODY)))
