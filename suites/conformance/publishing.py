"""What the tests of every broker's producer share: waiting for what it completes."""

from __future__ import annotations

from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import BrokerProducer, Completion, Outcome

SOON_S = 30.0


def collect(producer: BrokerProducer, count: int) -> list[Completion]:
    """The next `count` completions (more, if more came with the last), in the producer's order."""
    found: list[Completion] = []

    def all_there() -> bool:
        found.extend(producer.completions(0.05))
        return len(found) >= count

    wait_for(f"{count} completions", SOON_S, all_there, last_seen=lambda: found)
    return found


def outcomes(completions: list[Completion]) -> dict[str, Outcome]:
    """How each key ended; a key that completed twice is an error of the producer."""
    found = {completion.key: completion.outcome for completion in completions}
    assert len(found) == len(completions), f"a key completed twice: {completions}"
    return found
