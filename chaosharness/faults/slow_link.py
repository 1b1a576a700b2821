"""`latency`, `bandwidth`, `slice`: the held message's link is bad, and loses nothing. Do the time-outs hold?

What is held goes on, into it; it lasts until the aimed message has come through, or is known not to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from chaosharness.model.event import Event, Kind
from chaosharness.model.gate import Action
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

THROUGH_WITHIN_S = 10.0


class Latency:
    """Everything is a second late, each way."""

    id = "latency"
    action = Action.HOLD
    release = Release.FORWARD
    until = "published"
    leaves_survivors = True
    toxic: Mapping[str, Any] = {"type": "latency", "attributes": {"latency": 1000}}

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        """The evidence is the toxics, read back from the link."""
        mark = len(target.witness.so_far())
        toxics = [{**self.toxic, "stream": stream} for stream in ("upstream", "downstream")]
        with target.held_link.apply(*toxics) as applied:
            injection = Injection(applied)
            yield injection
            through = _through(target, mark) if applied.ok else "no matter"
        injection.healed = Evidence(True, f"the toxics are gone from {target.held_link.id}; meanwhile {through}")


class Bandwidth(Latency):
    """`bandwidth`: 2 KB a second, each way."""

    id = "bandwidth"
    toxic: Mapping[str, Any] = {"type": "bandwidth", "attributes": {"rate": 2}}


class Slice(Latency):
    """`slice`: a few bytes at a time, a millisecond between."""

    id = "slice"
    toxic: Mapping[str, Any] = {"type": "slicer", "attributes": {"average_size": 8, "size_variation": 4, "delay": 1000}}


def _through(target: Target, mark: int) -> str:
    """What became of the aimed message while the link was bad."""

    def ended(event: Event) -> bool:
        gone = event.kind is Kind.DISCONNECT and event.link == target.held_link.id
        return gone or (event.kind in (Kind.SETTLE, Kind.EFFECT) and target.key in event.keys)

    found = target.witness.wait(f"{target.key} to come through", THROUGH_WITHIN_S, ended, mark)
    if found is None:
        return f"{target.key} did not come through within {THROUGH_WITHIN_S:g} s"
    if found.kind is Kind.DISCONNECT:
        return f"the link was closed by the {found.data.get('by')}"
    return f"{target.key} came through ({found.kind})"
