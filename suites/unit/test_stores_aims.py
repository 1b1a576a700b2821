"""Which windows a store gives to a flow, and with what in the cells where it gives none."""

from __future__ import annotations

from dataclasses import replace

from chaosharness.model.address import Address
from chaosharness.model.aim import HARNESS_CONSUMES, Aim
from chaosharness.model.flow import Effect, Flow, Service, Source, StoreUse
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.ports.launch import Namespace
from chaosharness.registry import Registry
from chaosharness.scenario.planning import make_plan
from chaosharness.stores.aims import NO_BOUND
from chaosharness.stores.redis import RedisStore

PROMISE = Promise(Semantic.EFFECTIVELY_ONCE, "a test", redeliver_within_s=60)
FLOW = Flow(
    "flow",
    Source("rabbitmq", "queue"),
    PROMISE,
    consumer=Service("it", "true", {"DEDUP": "{stores.dedup}"}),
    effects=(Effect("charge", "http", ""), Effect("mail", "http", "")),
    stores=(StoreUse("dedup", "redis"), StoreUse("locks", "redis")),
)


def aims(flow: Flow = FLOW, store: int = 0) -> dict[tuple[str, str], Aim]:
    given = RedisStore().aims(flow, flow.stores[store])
    return {(aim.window, fault): aim for aim in given for fault in aim.offers}


def test_what_is_offered() -> None:
    assert set(aims()) == {
        ("dedup", "wipe"), ("dedup", "restart"), ("dedup", "unreachable"), ("dedup", "expire"), ("dedup", "crash"),
        ("dedup", "latency"), ("slow", "expire"),
    }  # fmt: skip


def test_the_store_is_struck_between_the_effect_and_its_redelivery() -> None:
    for fault in ("wipe", "restart", "unreachable", "expire"):
        aim = aims()["dedup", fault]
        assert (aim.point, aim.server, aim.after_effects) == (Point.SETTLE, "broker", True)
        assert fault in aim.redelivers
        assert aim.declined == {}


def test_the_crash_is_between_the_record_and_the_effect_whichever_comes_first() -> None:
    aim = aims()["dedup", "crash"]
    assert (aim.point, aim.once_applied, aim.server) == (Point.RECORDED, Point.RECORD, "store.dedup")


def test_the_claim_expires_while_the_work_goes_on() -> None:
    aim = aims()["slow", "expire"]
    assert (aim.point, aim.server) == (Point.REQUEST, "effect.charge")


def test_only_the_first_store_is_aimed_at() -> None:
    assert aims(store=1) == {}


def test_nothing_expires_where_the_flow_says_not_how_late_a_message_may_come() -> None:
    silent = aims(replace(FLOW, promise=replace(PROMISE, redeliver_within_s=None)))
    assert {silent[cell].declined.get("expire") for cell in (("dedup", "expire"), ("slow", "expire"))} == {NO_BOUND}
    assert silent["dedup", "wipe"].declined == {}


def test_the_harness_own_reader_leans_on_nothing() -> None:
    assert {aim.declined.get("*") for aim in aims(replace(FLOW, consumer=None)).values()} == {HARNESS_CONSUMES}


def test_a_consumer_that_is_not_told_where_the_store_is_does_not_lean_on_it() -> None:
    untold = aims(replace(FLOW, consumer=Service("it", "true", {"LOCKS": "{stores.locks}"})))
    assert {aim.declined["*"] for aim in untold.values()} == {
        "nothing tells the consumer where the store is: {stores.dedup} is not in its command or env"
    }


def test_a_service_of_several_flows_names_the_flow_too() -> None:
    shared = aims(replace(FLOW, consumer=Service("it", "run {flow.stores.dedup}", shared=True)))
    assert shared["dedup", "wipe"].declined == {}


def test_a_flow_without_effects_has_nothing_at_work() -> None:
    assert ("slow", "expire") not in aims(replace(FLOW, effects=()))


def test_the_cells_and_the_plan_of_one() -> None:
    registry = Registry.load()
    cells = {cell.id.cell: cell for cell in registry.cells(FLOW)}
    assert {"dedup:wipe", "dedup:crash", "slow:expire"} <= set(cells)
    plan = make_plan(FLOW, cells["dedup:crash"], [registry.fault("crash")], seed=1)
    assert (plan.point, plan.once_applied, plan.redelivers) == (Point.RECORDED, Point.RECORD, True)
    assert make_plan(FLOW, cells["dedup:wipe"], [registry.fault("wipe")], seed=1).redelivers


def test_a_broker_that_hands_nothing_over_again_promises_nothing() -> None:
    cells = Registry.load().cells(replace(FLOW, source=Source("redis_list", "queue")))
    given = [cell.aim for cell in cells if cell.id.window == "dedup"]
    assert given
    assert all(aim and not aim.redelivers for aim in given)


def test_connection_string() -> None:
    assert RedisStore().connection_string(Address("127.0.0.1", 7), Namespace("db3", {"db": "3"})) == (
        "redis://127.0.0.1:7/3"
    )
