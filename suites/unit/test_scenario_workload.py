"""The workload's thread: what stops it, and when."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.scenario.senders import Sender
from chaosharness.scenario.workload import CONNECT_WITHIN_S, Operations, Workload

MESSAGES = (Message("kabcd-000000", b"first"), Message("kabcd-000001", b"kept back"))


def made(
    folder: Path, connect: Callable[[], Sender], messages: Sequence[Message] = MESSAGES, in_flight: int = 1
) -> tuple[Workload, Ledger]:
    """All but the last message are sent first."""
    ledger = Ledger(folder, "harness")
    workload = Workload(
        connect,
        Operations(ledger, "harness"),
        messages[:-1],
        messages[-1:],
        in_flight=in_flight,
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


class Late:
    """Confirms nothing until it has been asked twice, then the latest."""

    def __init__(self) -> None:
        self.asked = 0
        self._sent: list[Message] = []

    def send(self, message: Message) -> None:
        self._sent.append(message)

    def completions(self, timeout_s: float) -> list[Completion]:
        self.asked += 1
        return [Completion(self._sent.pop().key, Outcome.OK)] if self._sent and self.asked % 2 == 0 else []

    def close(self) -> None:
        pass


def most_in_flight(events: Sequence[Event]) -> tuple[int, dict[str, int]]:
    """The most operations outstanding at a time: of all, and of each ordering key."""
    outstanding: dict[str, str] = {}
    most, of_each = 0, dict[str, int]()
    for event in events:
        if event.kind is Kind.INVOKE:
            outstanding[event.keys[0]] = event.data.get("ordering", "")
        elif event.kind is Kind.COMPLETE:
            outstanding.pop(event.keys[0])
        most = max(most, len(outstanding))
        for name in outstanding.values():
            of_each[name] = max(of_each.get(name, 0), list(outstanding.values()).count(name))
    return most, of_each


@pytest.mark.parametrize(("ordered", "most"), [(True, {"o0": 1, "o1": 1, "o2": 1}), (False, {"": 5})])
def test_of_each_ordering_key_one_publish_ends_before_the_next_begins(
    tmp_path: Path, ordered: bool, most: dict[str, int]
) -> None:
    names = [f"o{number % 3}" for number in range(12)]
    messages = [
        Message(
            f"kabcd-{number:06d}", b"", ordering=name if ordered else None, says={"ordering": name} if ordered else {}
        )
        for number, name in enumerate(names)
    ]
    workload, ledger = made(tmp_path, Late, messages, in_flight=5)
    workload.start()
    workload.begin()
    workload.go_on()
    wait_for("the end of the workload", 10, workload.done.is_set)
    workload.stop()
    ledger.end()
    events, _ = read(ledger.path)
    assert [event.data["outcome"] for event in events if event.kind is Kind.COMPLETE] == ["ok"] * 12
    assert most_in_flight(events) == (3 if ordered else 5, most)
    told = [event.data.get("ordering") for event in events if event.kind is Kind.INVOKE]
    assert told == (names if ordered else [None] * 12)
