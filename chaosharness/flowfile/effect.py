"""`[flow.X.effect]` and `[flow.X.effects.NAME]`: what counts as an effect.

In: the flow's table, and the installed sinks. Out: `Effect`s, checked by their sinks too. To try it:
suites/unit/test_flowfile_good.py.
"""

from __future__ import annotations

import re

from chaosharness.flowfile.plugins import Plugins, add_problems, ask_plugin, pick_kind
from chaosharness.flowfile.table import Table, found
from chaosharness.flowfile.templates import problems_in
from chaosharness.model.flow import Effect

CONTRACT = ("http", "sql", "kafka", "rabbitmq", "smtp", "udp")
NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
HTTP_SPEC = re.compile(r"[A-Z]+ /\S*")
"""`METHOD /path`, of an effect or of a driven producer."""


def read_effects(flow: Table, plugins: Plugins) -> tuple[Effect, ...]:
    """Those that could be read, in the file's order; problems are recorded."""
    if "effect" in flow and "effects" in flow:
        flow.problems.add(flow.at("effects"), "expected either effect or effects, found both")
    one, several = flow.table("effect"), flow.table("effects")
    effects = [_read("effect", one, plugins)] if one else []
    if several is not None:
        if not several.data:
            flow.problems.add(several.path, "no effect is named; expected [effects.NAME] tables")
        for name, table in several.tables():
            if not NAME.fullmatch(name) or name == "effect":
                flow.problems.add(table.path, "an effect's name has letters, digits, - and _, and is not `effect`")
            effects.append(_read(name, table, plugins))
    return tuple(effect for effect in effects if effect)


def _read(name: str, table: Table, plugins: Plugins) -> Effect | None:
    problems = table.problems
    before = len(problems)
    available = list(plugins.names("sinks"))
    kind = pick_kind(table, available, CONTRACT, "effect")
    if kind is None and len(problems) == before:
        kind = "http"  # any request that can change something
    if kind not in available and kind is not None:
        problems.later(table.at(kind), f"the effect {kind}")
    target = _target(table, kind)
    count = table.count("count", most=1000)
    key, idempotent_by = table.place("key"), table.place("idempotent_by")
    status, body = _answer(table)
    table.close()
    if kind is None or len(problems) > before:
        return None
    effect = Effect(
        name=name,
        sink=kind,
        target=target,
        count=1 if count is None else count,
        key=key,
        idempotent_by=idempotent_by,
        answer_status=status,
        answer_body=body,
    )
    sink = plugins.get("sinks", kind)
    add_problems(table, ask_plugin(f'the sink "{kind}"', lambda: sink.problems(effect)))
    return effect


def _target(table: Table, kind: str | None) -> str:
    if kind is None or kind not in table:
        return ""
    if table.data[kind] is True and kind != "http":  # smtp = true: all that arrives there
        return ""
    target = table.text(kind, empty=True)
    if kind == "http" and target and not HTTP_SPEC.fullmatch(target):
        expected = '"METHOD /path", or nothing for any request but GET, HEAD and OPTIONS'
        table.problems.add(table.at(kind), f"expected {expected}; found {found(target)}")
    for text in problems_in(target or "", ()):
        table.problems.add(table.at(kind), text)
    return target or ""


def _answer(table: Table) -> tuple[int, str]:
    answer = table.table("answer")
    if answer is None:
        return 200, "{}"
    status, body = answer.count("status", 200, 599), answer.text("body", empty=True)
    for text in problems_in(body or "", ()):
        answer.problems.add(answer.at("body"), text)
    answer.close()
    return 200 if status is None else status, "{}" if body is None else body
