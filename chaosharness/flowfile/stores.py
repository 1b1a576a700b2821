"""`[flow.X.stores]`: what the flow's services lean on to keep its promise.

In: the table, and the installed stores. Out: `StoreUse`s. To try it: suites/unit/test_flowfile_good.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from chaosharness.flowfile.effect import NAME
from chaosharness.flowfile.plugins import Plugins
from chaosharness.flowfile.table import Table
from chaosharness.model.flow import StoreUse

CONTRACT = ("redis", "postgres")
SCOPES = ("flow", "shared")


def read_stores(table: Table | None, plugins: Plugins) -> tuple[StoreUse, ...]:
    """`NAME = "redis"`, or `NAME = { kind = "redis", scope = "shared" }`; problems are recorded."""
    if table is None:
        return ()
    installed = plugins.names("stores")
    known = list(dict.fromkeys([*installed, *CONTRACT]))
    uses = []
    for name, given in table.data.items():
        before = len(table.problems)
        if not NAME.fullmatch(name):
            table.problems.add(table.at(name), "a store's name has letters, digits, - and _")
        kind, scope = _declared(table, name, given, known)
        if kind and kind not in installed and len(table.problems) == before:
            table.problems.later(table.at(name), f"the store {kind}")
        if kind and len(table.problems) == before:
            uses.append(StoreUse(name, kind, scope == "shared"))
    table.close()
    return tuple(uses)


def _declared(table: Table, name: str, given: object, known: list[str]) -> tuple[str | None, str | None]:
    """Kind and scope."""
    if not isinstance(given, Mapping):
        return table.choice(name, known, "store"), None
    inner = table.table(name)
    if inner is None:
        return None, None
    kind, scope = inner.choice("kind", known, "store"), inner.choice("scope", SCOPES, "scope")
    if "kind" not in inner:
        inner.problems.add(inner.path, f"has no kind; expected one of {', '.join(known)}")
    inner.close()
    return kind, scope
