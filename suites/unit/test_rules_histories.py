"""Every fault that can be injected has histories that the checkers were held to: test_checkers_rules, red and green."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points

from spine import SPINE
from spine_broker import BROKER
from spine_replica import REPLICA
from spine_sink import SINK
from spine_store import STORE
from test_checkers_rules import OF_A_REPLICA, OF_A_SINK, OF_A_STORE, OF_THE_BROKER, SCENARIOS

from chaosharness.model.flow import Effect, Flow, Service, Source, StoreUse
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.registry import Registry

GREEN = {*SPINE, *REPLICA, *SINK, *STORE, *BROKER}
RED = {*SCENARIOS, *OF_A_REPLICA, *OF_A_SINK, *OF_A_STORE, *OF_THE_BROKER}


def ours(group: str) -> set[str]:
    """Names of the entry points of this distribution: a plugin's are its own tests' business."""
    points = entry_points(group=f"chaosharness.{group}")
    return {point.name for point in points if point.dist and point.dist.name == "chaosharness"}


def unjudged(faults: Collection[str], cells: Collection[str]) -> list[str]:
    """Those of `faults` that are in none of `cells`, `window:fault`."""
    return sorted(set(faults) - {cell.partition(":")[2] for cell in cells})


def test_a_fault_without_a_history_is_seen() -> None:
    assert unjudged(["crash", "melt"], ["effect-ack:crash"]) == ["melt"]


def test_every_installed_fault_has_a_history() -> None:
    assert ours("faults")
    assert unjudged(ours("faults"), GREEN) == []
    assert unjudged(ours("faults"), RED) == []


def test_every_scenario_that_a_broker_a_sink_or_a_store_offers_has_a_history() -> None:
    registry = Registry.load()
    service = Service("it", "true")
    offered = set()
    for broker in ours("brokers"):
        for sink in ours("sinks"):
            effect = Effect("effect", sink, "")
            promise = Promise(Semantic.EFFECTIVELY_ONCE, "a test")
            for store in ours("stores"):
                uses = (StoreUse("dedup", store),)
                flow = Flow("flow", Source(broker, "queue"), promise, service, effects=(effect,), stores=uses)
                offered |= {
                    cell.id.cell for cell in registry.cells(flow) if cell.aim and cell.id.fault in cell.aim.offers
                }
    assert offered
    assert sorted(offered - GREEN) == []
