"""`[flow.X]`: one flow, its parts put together.

In: the flow's table, and what the file has besides. Out: a `Flow` with every default filled in; None, and problems
recorded, where it cannot be read. To try it: suites/unit/test_flowfile_good.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaosharness.flowfile.cells import read_scenarios, read_waivers
from chaosharness.flowfile.effect import NAME, read_effects
from chaosharness.flowfile.order import read_order
from chaosharness.flowfile.plugins import Plugins
from chaosharness.flowfile.service import read_producer, read_service
from chaosharness.flowfile.source import read_source
from chaosharness.flowfile.stores import read_stores
from chaosharness.flowfile.table import Table
from chaosharness.flowfile.workload import read_workload
from chaosharness.model.flow import Effect, Flow, Producer, Service, Source
from chaosharness.model.names import did_you_mean
from chaosharness.model.semantic import Promise, Semantic, Waiver

PRODUCER = "-producer"
"""What is added to a flow's name for the name of its own producer."""
DEFAULT = Promise(semantic=None)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a flow's table is read in."""

    plugins: Plugins
    services: Mapping[str, Service | None]
    """`[service.NAME]`; None for one that could not be read."""
    folder: Path
    origin: str
    images: Mapping[str, str]
    probe: bool


def read_flow(name: str, table: Table, around: Surroundings) -> Flow | None:
    """None, and problems recorded, where it cannot be read."""
    problems = table.problems
    before = len(problems)
    if not NAME.fullmatch(name):
        problems.add(table.path, "a flow's name has letters, digits, - and _, at most 40")
    semantic, because = _semantic(table, around.probe)
    source = _source(table, around.plugins)
    consumer = _consumer(name, table, around)
    effects = read_effects(table, around.plugins)
    _check_effects(table)
    stores = read_stores(table.table("stores"), around.plugins)
    producer = _producer(name, table, around)
    workload = read_workload(table.table("workload"), effects)
    waivers = read_waivers(table.table("waive"), around.plugins)
    ordered_by = read_order(table, workload)
    promise = _promise(table, semantic, because, source, effects, waivers, ordered_by)
    scenarios = read_scenarios(table, around.plugins)
    table.close()
    if source is None or len(problems) > before:
        return None
    return Flow(
        name=name,
        source=source,
        promise=promise,
        consumer=consumer,
        producer=producer,
        effects=effects,
        stores=stores,
        workload=workload,
        scenarios=scenarios,
        origin=around.origin,
        folder=str(around.folder),
        images=around.images,
    )


def _semantic(table: Table, probe: bool) -> tuple[Semantic | None, str]:
    given, because = table.choice("semantic", tuple(Semantic), "semantic"), table.text("because")
    if not probe:
        if "semantic" not in table:
            table.problems.add(table.path, f"declares no semantic; expected semantic = one of {', '.join(Semantic)}")
        if "because" not in table:
            table.problems.add(table.path, 'gives no reason for its semantic; expected because = "…"')
    return Semantic(given) if given else None, because or ""


def _source(table: Table, plugins: Plugins) -> Source | None:
    source = table.table("source")
    if source is None:
        if "source" not in table:
            table.problems.add(table.path, f"has no source; expected a table [{'.'.join(table.path)}.source]")
        return None
    return read_source(source, plugins)


def _consumer(name: str, table: Table, around: Surroundings) -> Service | None:
    given = table.data.get("consumer")
    if not isinstance(given, str):
        if given is not None and not isinstance(given, Mapping):
            table.ask("consumer")
            table.wrong("consumer", "a table, or the name of a [service.NAME]")
            return None
        consumer = table.table("consumer")
        service = read_service(consumer, name, around.folder) if consumer else None
        if consumer:
            consumer.close()
        return service
    table.ask("consumer")
    if given not in around.services:
        table.problems.add(table.at("consumer"), f'unknown service "{given}"{did_you_mean(given, around.services)}')
        return None
    return around.services[given]


def _producer(name: str, table: Table, around: Surroundings) -> Producer | None:
    producer = table.table("producer")
    return read_producer(producer, name + PRODUCER, around.folder) if producer else None


def _check_effects(table: Table) -> None:
    """A consumer is judged by its effects; without one, arrival is the effect."""
    name = next((name for name in ("effect", "effects") if name in table), None)
    if "consumer" in table and name is None:
        table.problems.add(table.path, "has a consumer and no effect; expected a table effect, or effects.NAME")
    if name and "consumer" not in table:
        table.problems.add(table.at(name), "an effect needs a consumer to cause it; without one, arrival is the effect")


def _promise(
    table: Table,
    semantic: Semantic | None,
    because: str,
    source: Source | None,
    effects: tuple[Effect, ...],
    waivers: tuple[Waiver, ...],
    ordered_by: str | None,
) -> Promise:
    drain = table.number("drain_within_s", "seconds")
    return Promise(
        semantic=semantic,
        because=because,
        count=sum(effect.count for effect in effects) if effects else 1,
        counts={effect.name: effect.count for effect in effects} if len(effects) > 1 else {},
        recover_within_s=table.number("recover_within_s", "seconds"),
        drain_within_s=DEFAULT.drain_within_s if drain is None else drain,
        redeliver_within_s=table.number("redeliver_within_s", "seconds"),
        max_loss=table.count("max_loss"),
        max_duplicates=table.count("max_duplicates"),
        max_parked=table.count("max_parked"),
        ordered_by=ordered_by,
        unkeyed_ignored=source is not None and source.unkeyed == "ignore",
        waivers=waivers,
    )
