"""The workload's thread: what stops it, and when."""

from __future__ import annotations

import time
from pathlib import Path

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import Message
from chaosharness.scenario.senders import Sender
from chaosharness.scenario.workload import CONNECT_WITHIN_S, Operations, Workload


def test_a_workload_that_cannot_connect_can_be_stopped(tmp_path: Path) -> None:
    """As where the broker never comes back: the end of the scenario does not wait for it."""
    asked: list[float] = []

    def refuse() -> Sender:
        asked.append(time.monotonic())
        raise HarnessBroke("refused")

    ledger = Ledger(tmp_path, "harness")
    workload = Workload(
        refuse,
        Operations(ledger, "harness"),
        [Message("kabcd-000000", b"first")],
        [Message("kabcd-000001", b"kept back")],
        in_flight=1,
        rate_per_s=None,
        complete_within_s=1.0,
        own=True,
    )
    workload.start()
    wait_for("a second attempt", 10, lambda: len(asked) > 1)
    began = time.monotonic()
    workload.stop()
    assert time.monotonic() - began < CONNECT_WITHIN_S / 4
    assert (workload.done.is_set(), workload.broke) == (True, None)
    ledger.end()
    events, gaps = read(ledger.path)
    assert [event.kind for event in events] == [Kind.END]
    assert gaps == []
