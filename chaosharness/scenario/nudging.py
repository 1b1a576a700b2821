"""A few more messages, for a consumer that comes back to what it left only when something comes.

Goes in: a sender, messages beyond the workload. Comes out: their operations in the ledger, `by: "nudge"`; they are owed
and counted as any. To try it: `suites/unit/test_scenario_nudging.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.scenario.senders import Sender
from chaosharness.scenario.workload import Operations

NUDGES = 3
POLL_S = 0.05


def nudge(sender: Sender, operations: Operations, messages: Sequence[Message], within_s: float) -> None:
    """Sends them all and waits for their completions; what has none by then is indeterminate."""
    for message in messages:
        operations.invoke(message.key, "nudge", message.says)
        sender.send(message)
    deadline = time.monotonic() + within_s
    while operations.outstanding and time.monotonic() < deadline:
        for completion in sender.completions(POLL_S):
            if completion.key in operations.outstanding:
                operations.complete(completion)
    for key in operations.outstanding:
        operations.complete(Completion(key, Outcome.INFO, f"no answer within {within_s:g} s"))
