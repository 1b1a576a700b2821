"""`[flow.X.workload.classes.NAME]`: messages of another kind among the workload's, and what they owe.

In: the table of classes, the flow's effects, the number of messages. Out: `PayloadClass`es in the file's order. To try
it: suites/unit/test_flowfile_classes.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaosharness.flowfile.effect import NAME
from chaosharness.flowfile.table import Table
from chaosharness.model.flow import Effect, PayloadClass, Workload
from chaosharness.model.names import did_you_mean

MOST = 1000
"""As an effect's own `count`."""


def read_classes(table: Table | None, effects: tuple[Effect, ...], messages: int) -> tuple[PayloadClass, ...]:
    """Those that could be read; problems are recorded."""
    if table is None:
        return ()
    if not table.data:
        table.problems.add(table.path, "no class is named; expected [classes.NAME] tables")
    read = [(inner, _read(name, inner, effects)) for name, inner in table.tables()]
    classes = tuple(one for _, one in read if one)
    workload = Workload(messages=messages, classes=classes)
    for inner, one in read:
        if one and not any(workload.class_of(n) is one for n in range(one.every - 1, messages, one.every)):
            why = "what several classes claim is of the first one"
            inner.problems.add(inner.path, f"none of the {messages} messages is of this class ({why})")
    return classes


def _read(name: str, table: Table, effects: tuple[Effect, ...]) -> PayloadClass | None:
    if not NAME.fullmatch(name):
        table.problems.add(table.path, "a class's name has letters, digits, - and _, at most 40")
    payload, every = table.text("payload", empty=True), table.count("every", 2)
    for wanted, example in (("payload", "'…'"), ("every", "10")):
        if wanted not in table:
            table.problems.add(table.path, f"has no {wanted}; expected {wanted} = {example}")
    counts = _counts(table, effects)
    table.close()
    if payload is None or every is None:
        return None
    return PayloadClass(name=name, payload=payload, every=every, counts=counts)


def _counts(table: Table, effects: tuple[Effect, ...]) -> dict[str, int] | None:
    """`count = 0`; of a flow with several effects, `count = { mail = 0 }`: those not named stay as they are."""
    if "count" not in table:
        table.ask("count")
        return None
    own = {effect.name: effect.count for effect in effects}
    if len(own) < 2:
        count = table.count("count", most=MOST)
        return None if count is None else {next(iter(own), "effect"): count}
    if not isinstance(table.data["count"], Mapping):
        table.ask("count")
        table.wrong("count", f"a table, since the flow has several effects: count = {{ {next(iter(own))} = 0 }}")
        return None
    inner = table.table("count")
    if inner is None:
        return None
    for effect in inner.data:
        if effect not in own:
            inner.problems.add(inner.at(effect), f'unknown effect "{effect}"{did_you_mean(effect, own)}')
        elif (count := inner.count(effect, most=MOST)) is not None:
            own[effect] = count
    return own
