"""Faults of the sink and messages that can never succeed, on a service that dead-letters; read from the ledger.

And the drain of systems: a consumer that comes back to what it left only when something comes is given something.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, missing, running, said

from chaosharness.flowfile import load
from chaosharness.ledger.reader import merge
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Flow
from chaosharness.model.verdict import Result, Verdict

FIXTURES = Path(__file__).parents[2] / "fixtures"
RECEIPTS = FIXTURES / "services" / "receipts.py"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("sink")) as bench:
        yield bench


@pytest.fixture(scope="module")
def flows(bench: Bench) -> dict[str, Flow]:
    names = ("poison.toml", "sink_twins.toml")
    return {flow.name: flow for name in names for flow in load(FIXTURES / "flows" / name, bench.registry).flows}


def history(bench: Bench, result: Result) -> list[Event]:
    assert result.folder
    return list(merge(bench.rig.folder / result.folder))


def about(bench: Bench, result: Result, *kinds: Kind) -> list[Event]:
    """Events of the aimed key."""
    return [event for event in history(bench, result) if event.kind in kinds and result.target in event.keys]


def upheld(bench: Bench, cell: str, flow: Flow) -> Result:
    result = bench.run(cell, flow)
    assert result.verdict is Verdict.UPHELD, said(result)
    return result


def evidence(bench: Bench, result: Result) -> dict[str, Any]:
    (injected,) = about(bench, result, Kind.FAULT_INJECTED)
    return dict(injected.data["evidence"])


def story(result: Result) -> str:
    (found,) = [note for note in result.judgement.notes if note.startswith("poison: ")]
    return found


# faults of the sink


def test_an_answer_is_lost_and_the_retry_is_a_replay(bench: Bench, flows: dict[str, Flow]) -> None:
    result = upheld(bench, "effect-response:response-lost", flows["receipts"])
    kinds = [event.kind for event in about(bench, result, Kind.EFFECT, Kind.GATE_CUT, Kind.REPLAY, Kind.SETTLE)]
    assert kinds == [Kind.EFFECT, Kind.GATE_CUT, Kind.REPLAY, Kind.SETTLE]


def test_a_request_is_applied_after_its_caller_gave_up(bench: Bench, flows: dict[str, Flow]) -> None:
    result = upheld(bench, "effect-response:apply-late", flows["receipts"])
    held, released, effect, replay = about(bench, result, Kind.GATE_HELD, Kind.GATE_RELEASED, Kind.EFFECT, Kind.REPLAY)
    assert (released.data["why"], released.data["forwarded"]) == ("connection gone", False)
    assert held.conn == effect.conn != replay.conn
    assert effect.at_ns - held.at_ns > 5.9e9  # its time-out is 6 s


def test_a_caller_that_waits_has_no_such_window(
    bench: Bench, flows: dict[str, Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaosharness.faults.apply_late.GIVES_UP_WITHIN_S", 1.0)
    result = bench.run("effect-response:apply-late", flows["receipts"])
    assert result.verdict is Verdict.NOT_APPLICABLE, said(result)
    assert "longer than 1 s" in str(result.judgement.reason)
    assert [event.kind for event in about(bench, result, Kind.EFFECT, Kind.REPLAY)] == [Kind.EFFECT]


def test_an_outage_is_met_by_the_aimed_request_first(bench: Bench, flows: dict[str, Flow]) -> None:
    result = upheld(bench, "deliver-effect:outage", flows["receipts"])
    refused = about(bench, result, Kind.REFUSED)
    assert refused[0].data["status"] == 503
    (healed,) = about(bench, result, Kind.FAULT_HEALED)
    assert healed.data["evidence"]["met"] == len(
        [event for event in history(bench, result) if event.kind is Kind.REFUSED]
    )
    assert len(about(bench, result, Kind.EFFECT)) == 1


# messages that can never succeed


def test_a_message_that_nobody_can_read_is_dead_lettered(bench: Bench, flows: dict[str, Flow]) -> None:
    result = upheld(bench, "poison:malformed", flows["receipts"])
    assert story(result) == "poison: delivered once, then dead-lettered, as it should be"
    (invoked,) = about(bench, result, Kind.INVOKE)
    assert invoked.data["spoiled"] is True
    assert about(bench, result, Kind.REQUEST) == []
    assert result.judgement.counts["dead_lettered"] == 1
    assert result.duration_s < 15  # and not the bound of 30 s


def test_a_message_that_the_sink_refuses_is_dead_lettered(bench: Bench, flows: dict[str, Flow]) -> None:
    result = upheld(bench, "poison:reject", flows["receipts"])
    assert [event.data["status"] for event in about(bench, result, Kind.REFUSED)] == [422]
    assert story(result).endswith("then dead-lettered, as it should be")


def test_a_message_that_kills_its_consumer_is_dead_lettered_at_the_queues_limit(
    bench: Bench, flows: dict[str, Flow]
) -> None:
    result = upheld(bench, "poison:killer", flows["receipts"])
    assert evidence(bench, result)["kills"] == 5  # x-delivery-limit = 4: delivered again four times
    assert (
        story(result) == "poison: delivered 5 times, killed its consumer 5 times, then dead-lettered, as it should be"
    )


def test_one_that_is_never_taken_out_of_the_way_is_unproven_without_a_bound_that_was_promised(
    bench: Bench, flows: dict[str, Flow]
) -> None:
    """The queue has no limit: after its kills the message goes on coming, and is never applied."""
    receipts = flows["receipts"]
    options = {"dead_letter": receipts.source.options["dead_letter"]}
    classic = replace(receipts, source=replace(receipts.source, options=options))
    short = replace(classic, promise=replace(receipts.promise, drain_within_s=2.0))
    result = bench.run("poison:killer", short)
    assert "raise drain_within_s" in missing(result)["drained"]
    assert "killed its consumer 6 times, and still held" in story(result)
    promised = replace(short, promise=replace(short.promise, recover_within_s=2.0))
    result = bench.run("poison:killer", promised)
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert {finding.kind.value for finding in result.judgement.findings} >= {"stuck"}


@pytest.mark.parametrize("cell", ["poison:reject", "poison:malformed", "poison:killer"])
def test_who_declares_no_dead_letter_place_has_no_such_window(bench: Bench, cell: str) -> None:
    cells = {one.id.cell: one for one in bench.registry.cells(bench.flow)}
    assert "declares no dead_letter" in str(cells[cell].not_applicable)


# the drain


FORGETFUL = (
    ("        connection.call_later(RETRY_AFTER_S, lambda: work(tag, body))\n", "        left.append((tag, body))\n"),
    ("    channel.basic_qos(prefetch_count=1)", "    left, seen = [], 0\n    channel.basic_qos(prefetch_count=20)"),
    (
        "            work(method.delivery_tag, body)\n",
        """            work(method.delivery_tag, body)
            seen += 1
            if seen % 31 == 0:
                again, left[:] = left[:], []
                for one in again:
                    work(*one)
""",
    ),
)
"""It looks at what failed only when the 31st message comes."""


def test_a_consumer_that_comes_back_only_when_something_comes_is_nudged(
    bench: Bench, flows: dict[str, Flow], tmp_path: Path
) -> None:
    text = RECEIPTS.read_text(encoding="utf-8")
    for old, new in FORGETFUL:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "forgetful.py").write_text(text, encoding="utf-8")
    flow = flows["receipts"]
    assert flow.consumer
    forgetful = replace(
        flow,
        consumer=replace(flow.consumer, command=f"python3 {tmp_path / 'forgetful.py'}"),
        workload=replace(flow.workload, messages=30),
        promise=replace(flow.promise, drain_within_s=2.0),
    )
    result = upheld(bench, "deliver-effect:outage", forgetful)
    events = history(bench, result)
    nudges = [event for event in events if event.kind is Kind.INVOKE and event.data["by"] == "nudge"]
    assert len(nudges) == 3
    assert result.judgement.counts["attempted"] == result.judgement.counts["effects"] == 33
    ends = [event.kind for event in events if event.kind in (Kind.DRAIN_EXPIRED, Kind.DRAINED, Kind.RESTARTED_AFRESH)]
    assert ends == [Kind.DRAIN_EXPIRED, Kind.DRAINED]
    bound = replace(forgetful, promise=replace(forgetful.promise, recover_within_s=2.0))
    late = bench.run("deliver-effect:outage", bound)
    assert late.verdict is Verdict.VIOLATED, said(late)
    assert {finding.kind.value for finding in late.judgement.findings} == {"late"}
    assert late.judgement.counts["recovery_ms"] > 2000
