"""`[flow.X.workload]`: what is sent through the flow.

In: the table, and the flow's effects. Out: a `Workload` with the contract's defaults. To try it:
suites/unit/test_flowfile_good.py, suites/unit/test_flowfile_classes.py.
"""

from __future__ import annotations

import re

from chaosharness.flowfile.classes import read_classes
from chaosharness.flowfile.table import Table
from chaosharness.flowfile.templates import problems_in
from chaosharness.model.flow import Effect, Workload

DEFAULT = Workload()
_KEY = r"[a-z0-9]+-\d{6}"
_PREDICATE = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
VALID_HERE = ("key",)


def read_workload(table: Table | None, effects: tuple[Effect, ...]) -> Workload:
    """What could be read, with defaults for the rest; problems are recorded."""
    if table is None:
        return DEFAULT
    messages = table.count("messages", 1) or DEFAULT.messages
    in_flight, rate = table.count("in_flight", 1), table.number("rate_per_s", "messages a second")
    if in_flight is not None and rate is not None:
        table.problems.add(table.at("rate_per_s"), "expected either in_flight or rate_per_s, found both")
    payload, headers = table.text("payload", empty=True), table.strings("headers") or {}
    properties = table.table("properties")
    _later(table)
    workload = Workload(
        messages=messages,
        in_flight=in_flight or DEFAULT.in_flight,
        rate_per_s=rate,
        payload=DEFAULT.payload if payload is None else payload,
        headers=headers,
        properties={name: properties.plain(name) for name in properties.data} if properties else {},
        ordered_keys=table.count("ordered_keys", 1),
        classes=read_classes(table.table("classes"), effects, messages),
        target=_target(table, messages),
    )
    _check_templates(table, workload)
    table.close()
    return workload


def _target(table: Table, messages: int) -> str | int | None:
    table.ask("target")
    value = table.data.get("target")
    if value is None:
        return None
    if isinstance(value, str):
        if re.fullmatch(rf"{_KEY}|{_PREDICATE}", value):
            return value
    elif isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value < messages:
            return value
        table.wrong("target", f"the number of one of the {messages} messages, 0 to {messages - 1}")
        return None
    table.wrong("target", 'the number of a message, a key, or "module:function"')
    return None


def _later(table: Table) -> None:
    """What the contract knows and this version does not run."""
    key_as = table.choice("key_as", ("text", "uuid", "int"), "form of a key")
    if key_as in ("uuid", "int"):
        table.problems.later(table.at("key_as"), f'key_as = "{key_as}"')
    if table.text("partition_key") is not None:
        table.problems.later(table.at("partition_key"), "partition_key")


def _check_templates(table: Table, workload: Workload) -> None:
    known = [*VALID_HERE, "ordered_key"] if "ordered_keys" in table else VALID_HERE
    texts: list[tuple[tuple[str, ...], object]] = [
        (table.at("payload"), workload.payload),
        *(((*table.at("classes"), one.name, "payload"), one.payload) for one in workload.classes),
        *(((*table.at("headers"), name), text) for name, text in workload.headers.items()),
        *(((*table.at("properties"), name), value) for name, value in workload.properties.items()),
    ]
    for path, text in texts:
        for wrong in problems_in(text, known) if isinstance(text, str) else ():
            table.problems.add(path, wrong)
