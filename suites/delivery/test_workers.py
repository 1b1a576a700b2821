"""Faults of a replica's processes, and of replicas that come and go, on services of several processes and replicas.

What a fault did is read from the ledger, not taken from the verdict alone: a correct service is upheld also by a fault
that never struck.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, missing, running, said

from chaosharness.faults import crash_child
from chaosharness.flowfile import load
from chaosharness.ledger.reader import merge
from chaosharness.links.accepted import client_of
from chaosharness.model.address import Address, LinkId
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Flow
from chaosharness.model.verdict import Result, Verdict
from chaosharness.ports.plugin import Target

FLOWS = Path(__file__).parents[2] / "fixtures" / "flows"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("workers")) as bench:
        yield bench


@pytest.fixture(scope="module")
def flows(bench: Bench) -> dict[str, Flow]:
    names = ("workers.toml", "workers_twins.toml")
    return {flow.name: flow for name in names for flow in load(FLOWS / name, bench.registry).flows}


def events(bench: Bench, result: Result, *kinds: Kind) -> list[Event]:
    assert result.folder
    history = merge(bench.rig.folder / result.folder)
    return [event for event in history if event.kind in kinds]


def evidence(bench: Bench, result: Result) -> dict[str, Any]:
    """Of the one fault; it was injected with evidence and healed with evidence."""
    assert result.verdict is Verdict.UPHELD, said(result)
    (injected,) = events(bench, result, Kind.FAULT_INJECTED)
    (healed,) = events(bench, result, Kind.FAULT_HEALED)
    assert injected.data["ok"]
    assert healed.data["ok"]
    return dict(injected.data["evidence"])


def told(bench: Bench, result: Result) -> list[str]:
    """`kill child`, `exited`, `started 2`, …, from the fault on."""
    words = []
    story = events(bench, result, Kind.SIGNALLED, Kind.EXITED, Kind.STARTED, Kind.STOPPED)
    for event in dropwhile(lambda event: event.kind is not Kind.SIGNALLED, story):
        match event.kind:
            case Kind.SIGNALLED:
                words.append(f"{event.data['signal']} {event.data['scope']}")
            case Kind.STARTED:
                words.append(f"started {event.data['incarnation']}")
            case Kind.EXITED:
                words.append("gone" if event.data["gone"] else "exited")
            case _:
                break
    return words


# upheld, and struck


@pytest.mark.parametrize("window", ["deliver-effect", "effect-ack"])
def test_a_worker_dies_and_its_parent_goes_on(bench: Bench, flows: dict[str, Flow], window: str) -> None:
    result = bench.run(f"{window}:crash-child", flows["prefork"])
    facts = evidence(bench, result)
    assert facts["parent"] is False
    assert (facts["owners"], len(facts["pids"]), facts["by"]) == (facts["pids"], 1, "client")
    assert told(bench, result)[0] == "kill child"
    assert "started 2" not in told(bench, result)  # the parent has replaced it, nobody else


def test_a_parent_dies_and_its_workers_go_on_beside_the_next_ones(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("deliver-effect:crash-parent", flows["prefork"])
    assert evidence(bench, result)["orphans"] >= 1
    assert told(bench, result)[:3] == ["kill parent", "exited", "started 2"]
    key = result.target
    (delivered,) = [event for event in events(bench, result, Kind.DELIVER) if key in event.keys]
    (settled,) = [event for event in events(bench, result, Kind.SETTLE) if key in event.keys]
    assert delivered.conn == settled.conn  # by the orphan, which finished what it had in hand


def test_a_replica_is_told_to_end_with_a_message_in_hand(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("effect-response:term", flows["prefork"])
    assert evidence(bench, result)["pids"]
    assert told(bench, result)[:3] == ["term parent", "gone", "started 2"]


def test_a_broker_with_a_short_heartbeat_gives_a_frozen_replica_up_by_itself(
    bench: Bench, flows: dict[str, Flow]
) -> None:
    result = bench.run("effect-ack:freeze", flows["heartbeats"])
    facts = evidence(bench, result)
    assert (facts["heartbeat_s"], facts["closed_by"]) == (2, "server")
    assert events(bench, result, Kind.SEVERED) == []
    assert told(bench, result)[:2] == ["freeze tree", "thaw tree"]


def test_a_zombie_meets_who_took_its_message(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("rebalance:freeze", flows["members"])
    facts = evidence(bench, result)
    assert (facts["heartbeat_s"], facts["closed_by"]) == (60, "tap")
    assert facts["handed_over_to"] in {"members.0>broker.0", "members.1>broker.0"} - {facts["link"]}
    assert len(events(bench, result, Kind.SEVERED)) == 1
    again = [event for event in events(bench, result, Kind.EFFECT, Kind.REPLAY) if result.target in event.keys]
    assert [event.kind for event in again] == [Kind.EFFECT, Kind.REPLAY]  # both replicas sent it, the API took it once


def test_a_replica_joins(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("rebalance:join", flows["members"])
    assert evidence(bench, result)["instance"] == "members.2"
    taken = {event.link for event in events(bench, result, Kind.DELIVER)}
    assert "members.2>broker.0" in taken


def test_a_replica_leaves(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("rebalance:leave", flows["members"])
    evidence(bench, result)
    assert told(bench, result)[:3] == ["term parent", "gone", "started 2"]


def test_another_workers_death_proves_nothing(
    bench: Bench, flows: dict[str, Flow], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection ends, and not the one on which the message is held."""

    def beside(target: Target) -> Address:
        hold = target.ticket.hold
        of_link = [e.conn for e in target.witness.so_far() if e.kind is Kind.CONNECT and e.link == hold.link]
        (other,) = (ordinal for ordinal, conn in enumerate(of_link, 1) if conn != hold.conn)
        return client_of(target.toxiproxy_log, LinkId.parse(hold.link), target.held_link.upstream, other)

    monkeypatch.setattr(crash_child, "own_end", beside)
    monkeypatch.setattr(crash_child, "GONE_WITHIN_S", 0.5)
    lacks = missing(bench.run("effect-ack:crash-child", flows["prefork"]))
    assert set(lacks) == {"fault_evidence"}
    assert "waited 0.5 s for the end of file of connection" in lacks["fault_evidence"]


# not applicable


@pytest.mark.parametrize(
    ("fault", "why"), [("crash-child", "there is no worker child"), ("crash-parent", "no process")]
)
def test_without_children_there_is_no_such_scenario(bench: Bench, flows: dict[str, Flow], fault: str, why: str) -> None:
    result = bench.run(f"deliver-effect:{fault}", flows["members"])
    assert result.verdict is Verdict.NOT_APPLICABLE, said(result)
    assert why in str(result.judgement.reason)
    assert events(bench, result, Kind.FAULT_INJECTED) == []


@pytest.mark.parametrize("fault", ["leave", "freeze"])
def test_nobody_leaves_where_nobody_stays(bench: Bench, flows: dict[str, Flow], fault: str) -> None:
    cells = {cell.id.cell: cell for cell in bench.registry.cells(flows["prefork"])}
    assert "one replica" in str(cells[f"rebalance:{fault}"].not_applicable)


# found out


@pytest.mark.parametrize(
    ("flow", "cell", "finding"),
    [
        ("prefork_begun_is_done", "deliver-effect:crash-child", "lost"),
        ("orphaned_bookkeeper", "deliver-effect:crash-parent", "reordered"),
        ("ack_all_on_stop", "rebalance:leave", "lost"),
        ("no_dedup_members", "rebalance:freeze", "duplicated"),
    ],
)
def test_a_twin_is_found_out(bench: Bench, flows: dict[str, Flow], flow: str, cell: str, finding: str) -> None:
    result = bench.run(cell, flows[flow])
    assert result.verdict is Verdict.VIOLATED, said(result)
    assert finding in [one.kind.value for one in result.judgement.findings]


@pytest.mark.parametrize("flow", ["prefork_begun_is_done", "orphaned_bookkeeper"])
def test_what_one_dead_process_shows_the_death_of_all_does_not(bench: Bench, flows: dict[str, Flow], flow: str) -> None:
    result = bench.run("deliver-effect:crash", flows[flow])
    assert result.verdict is Verdict.UPHELD, said(result)


def test_workers_that_end_with_their_parent_keep_the_order(bench: Bench, flows: dict[str, Flow]) -> None:
    result = bench.run("deliver-effect:crash-parent", flows["bookkeeper"])
    evidence(bench, result)
    assert "kill parent" in told(bench, result)
