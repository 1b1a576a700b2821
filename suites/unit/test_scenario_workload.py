"""The workload's thread: what stops it, and when."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.scenario.senders import Sender
from chaosharness.scenario.workload import CONNECT_WITHIN_S, Operations, Workload


def made(folder: Path, connect: Callable[[], Sender]) -> tuple[Workload, Ledger]:
    ledger = Ledger(folder, "harness")
    workload = Workload(
        connect,
        Operations(ledger, "harness"),
        [Message("kabcd-000000", b"first")],
        [Message("kabcd-000001", b"kept back")],
        in_flight=1,
        rate_per_s=None,
        complete_within_s=1.0,
        own=True,
    )
    return workload, ledger


def test_a_workload_that_cannot_connect_can_be_stopped(tmp_path: Path) -> None:
    """As where the broker never comes back: the end of the scenario does not wait for it."""
    asked: list[float] = []

    def refuse() -> Sender:
        asked.append(time.monotonic())
        raise HarnessBroke("refused")

    workload, ledger = made(tmp_path, refuse)
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


class Unclosable:
    """Confirms what it is given, and cannot be closed."""

    def __init__(self) -> None:
        self._sent: list[Message] = []

    def send(self, message: Message) -> None:
        self._sent.append(message)

    def completions(self, timeout_s: float) -> list[Completion]:
        sent, self._sent = self._sent, []
        return [Completion(message.key, Outcome.OK) for message in sent]

    def close(self) -> None:
        raise HarnessBroke("the loop does not end")


def test_a_connection_that_cannot_be_closed_ends_the_workload(tmp_path: Path) -> None:
    """Whoever waits for its last operation is told, at once."""
    workload, ledger = made(tmp_path, Unclosable)
    workload.start()
    workload.begin()
    workload.go_on()
    wait_for("the end of the workload", 10, workload.done.is_set)
    workload.stop()
    assert str(workload.broke) == "the loop does not end"
    ledger.end()
