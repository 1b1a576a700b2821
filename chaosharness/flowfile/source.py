"""`[flow.X.source]`: where messages come from.

In: the table, and the installed brokers. Out: a `Source`, checked by its broker too. To try it:
suites/unit/test_flowfile_good.py.
"""

from __future__ import annotations

from chaosharness.flowfile.plugins import Plugins, add_problems, ask_plugin, pick_kind
from chaosharness.flowfile.table import Table
from chaosharness.flowfile.templates import problems_in
from chaosharness.model.flow import Source

CONTRACT = ("rabbitmq", "kafka", "redis_stream", "redis_list")
OPTIONS = {
    "rabbitmq": ("arguments", "exchange", "routing_key", "dead_letter"),
    "kafka": ("partitions", "dead_letter", "group", "evict"),
    "redis_stream": ("group",),
    "redis_list": (),
}
"""What each of the contract's brokers understands besides; any other broker is asked itself."""


def read_source(table: Table, plugins: Plugins) -> Source | None:
    """None, and a problem recorded, where it cannot be read."""
    problems = table.problems
    before = len(problems)
    available = list(plugins.names("brokers"))
    kind = pick_kind(table, available, CONTRACT, "source")
    declare, key = table.flag("declare"), table.place("key")
    unkeyed = table.choice("unkeyed", ("unproven", "ignore"), "word")
    if kind is None:
        if len(problems) == before and not table.unasked():
            problems.add(table.path, f"no broker is named; expected one of {', '.join([*available, *CONTRACT])}")
        _close_any(table)
        return None
    name = table.text(kind)
    for text in problems_in(name or "", ()):
        problems.add(table.at(kind), text)
    known = OPTIONS.get(kind)
    table.ask(*(known if known is not None else table.unasked()))
    table.close()
    names = [option for option in (known if known is not None else table.data) if option in table]
    own = {kind, "declare", "key", "unkeyed"}
    options = {option: table.plain(option) for option in names if option not in own}
    if kind not in available:
        problems.later(table.at(kind), f"the source {kind}")
    if name is None or len(problems) > before:
        return None
    source = Source(
        broker=kind,
        name=name,
        declare=True if declare is None else declare,
        options=options,
        key=key,
        unkeyed=unkeyed or "unproven",
    )
    if kind in available:
        broker = plugins.get("brokers", kind)
        add_problems(table, ask_plugin(f'the broker "{kind}"', lambda: broker.problems(source)))
    return source


def _close_any(table: Table) -> None:
    """Without a broker, every broker's options are known."""
    table.ask(*(option for options in OPTIONS.values() for option in options))
    table.close()
