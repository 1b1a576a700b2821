"""What of a scenario's time the harness takes for itself, told from its ledger.

In: a scenario's history and result. Out: from the fault to the judged result, and from the event that decided the drain
to its noticing, in seconds and as shares of the whole. Part of `ci/bench`.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosharness.model.event import Kind
from chaosharness.model.history import History

DECIDES_THE_DRAIN = (
    Kind.DRAIN_STARTED,
    Kind.COMPLETE,
    Kind.CONFIRM,
    Kind.DELIVER,
    Kind.REQUEST,
    Kind.EFFECT,
    Kind.REPLAY,
    Kind.RESPONSE,
    Kind.DISCARDED,
    Kind.SETTLE,
    Kind.EXITED,
)
"""The last of these, before the drain is over, is what it had to wait for; the rest is the harness's own time."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Seconds of one scenario."""

    whole_s: float
    fault_to_verdict_s: float
    drain_noticed_s: float

    @property
    def fault_to_verdict_share(self) -> float:
        return self.fault_to_verdict_s / self.whole_s

    @property
    def drain_noticed_share(self) -> float:
        return self.drain_noticed_s / self.whole_s


def moments(history: History, whole_s: float, judged_ns: int) -> Moments:
    """`judged_ns`: CLOCK_MONOTONIC when the result was there; of the first fault and the last drain."""
    injected_ns = min(event.at_ns for event in history.of(Kind.FAULT_INJECTED))
    drained_ns = max(event.at_ns for event in history.of(Kind.DRAINED))
    decided_ns = max(event.at_ns for event in history.of(*DECIDES_THE_DRAIN) if event.at_ns <= drained_ns)
    return Moments(whole_s, (judged_ns - injected_ns) / 1e9, (drained_ns - decided_ns) / 1e9)
