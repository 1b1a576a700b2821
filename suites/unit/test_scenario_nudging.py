"""Messages beyond the workload: written down as nudges, each completed, whatever their sender makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from chaosharness.ledger.reader import merge
from chaosharness.ledger.writer import Ledger
from chaosharness.model.event import Event, Kind
from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.scenario.nudging import nudge
from chaosharness.scenario.workload import Operations

MORE = [Message("kabcd-000060", b"a"), Message("kabcd-000061", b"b", says={"class": "big", "count": 2})]


class Sender:
    """Answers with what it was given, one completion a call."""

    def __init__(self, *answers: Completion) -> None:
        self.sent: list[str] = []
        self._answers = list(answers)

    def send(self, message: Message) -> None:
        self.sent.append(message.key)

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        return [self._answers.pop(0)] if self._answers else []

    def close(self) -> None:
        raise AssertionError("it is not the nudge's to close")


def nudged(folder: Path, sender: Sender, within_s: float = 5.0) -> list[Event]:
    ledger = Ledger(folder, "harness")
    nudge(sender, Operations(ledger, "shop", first=121), MORE, within_s)
    ledger.end()
    return [event for event in merge(folder) if event.kind in (Kind.INVOKE, Kind.COMPLETE)]


def test_each_is_invoked_as_a_nudge_and_completed(tmp_path: Path) -> None:
    sender = Sender(Completion(MORE[1].key, Outcome.OK, told=True), Completion(MORE[0].key, Outcome.FAIL, told=True))
    events = nudged(tmp_path, sender)
    assert sender.sent == [message.key for message in MORE]
    assert [(e.kind, e.key, e.data["op"]) for e in events] == [
        (Kind.INVOKE, MORE[0].key, 121),
        (Kind.INVOKE, MORE[1].key, 122),
        (Kind.COMPLETE, MORE[1].key, 122),
        (Kind.COMPLETE, MORE[0].key, 121),
    ]
    assert {e.data["by"] for e in events[:2]} == {"nudge"}
    assert (events[1].data["class"], events[1].data["count"]) == ("big", 2)
    assert [e.data["outcome"] for e in events[2:]] == ["ok", "fail"]


def test_one_without_an_answer_is_indeterminate(tmp_path: Path) -> None:
    stranger = Completion("kabcd-000007", Outcome.OK)
    events = nudged(tmp_path, Sender(stranger, Completion(MORE[0].key, Outcome.OK)), within_s=0.2)
    assert [(e.key, e.data["outcome"]) for e in events[2:]] == [(MORE[0].key, "ok"), (MORE[1].key, "info")]
