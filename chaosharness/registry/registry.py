"""The plugins there are: brokers, sinks, stubs, codecs, servers and faults, found by their entry points.

In: the entry points of all installed distributions. Out: names at once; a plugin itself when it is first asked for,
held to its port. To try it: `Registry.load().get("brokers", "rabbitmq")`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.gate import Action
from chaosharness.model.names import did_you_mean
from chaosharness.model.plan import Cell
from chaosharness.ports.launch import Server
from chaosharness.ports.plugin import Broker, Fault, Sink, Store
from chaosharness.ports.wire import Codec, Stub
from chaosharness.registry.cells import cells_of, pairs_of
from chaosharness.registry.contract import breaches, constructor_breaches

PREFIX = "chaosharness."
PORTS: dict[str, type] = {
    "servers": Server,
    "codecs": Codec,
    "brokers": Broker,
    "sinks": Sink,
    "sink_stubs": Stub,
    "stores": Store,
    "faults": Fault,
}
"""Group of entry points (without the prefix) to the protocol of its plugins."""
MADE_BY_THE_RELAY = {"codecs": ("options", "finder"), "sink_stubs": ("options", "finder")}
"""Groups whose plugins are classes, made anew for each connection or scenario: their constructors' parameters."""
NEEDS = {
    "brokers": {"server": "servers", "codec": "codecs"},
    "sinks": {"stub": "sink_stubs"},
    "stores": {"server": "servers", "codec": "codecs"},
}
"""Attributes that name a plugin of another group."""


class Registry:
    """What is installed. Loads nothing before it is asked for."""

    def __init__(self, points: Iterable[EntryPoint]) -> None:
        """`points`: entry points of the groups `chaosharness.*`. Raises BadInput where two claim one name."""
        self._points: dict[str, dict[str, EntryPoint]] = {group: {} for group in PORTS}
        self._made: dict[tuple[str, str], Any] = {}
        for point in points:
            group = self._points.get(point.group.removeprefix(PREFIX))
            if group is None:
                continue
            other = group.setdefault(point.name, point)
            if (other.value, _owner(other)) != (point.value, _owner(point)):
                claims = f"{other.value} of {_owner(other)} and {point.value} of {_owner(point)}"
                raise BadInput(f"two entry points of {point.group} are named {point.name}: {claims}; uninstall one")

    @classmethod
    def load(cls) -> Registry:
        """Of all installed distributions."""
        return cls(point for group in PORTS for point in entry_points(group=PREFIX + group))

    def names(self, group: str) -> list[str]:
        """The names in a group (`brokers`, `faults`, …), sorted."""
        return sorted(self._points[group])

    def get(self, group: str, name: str) -> Any:
        """The one instance of a plugin; for codecs and sink stubs its class.

        Raises BadInput where there is none of the name, where it cannot be imported, or where it breaks its port's
        contract; the message names the entry point, its distribution, and every breach.
        """
        if (group, name) not in self._made:
            point = self._points[group].get(name)
            if point is None:
                raise BadInput(
                    f'no plugin "{name}" in the group {PREFIX}{group}{did_you_mean(name, self.names(group))}'
                )
            self._made[group, name] = self._make(group, point)
        return self._made[group, name]

    def server(self, name: str) -> Server:
        """`get("servers", name)`."""
        server: Server = self.get("servers", name)
        return server

    def broker(self, name: str) -> Broker:
        """`get("brokers", name)`."""
        broker: Broker = self.get("brokers", name)
        return broker

    def sink(self, name: str) -> Sink:
        """`get("sinks", name)`."""
        sink: Sink = self.get("sinks", name)
        return sink

    def store(self, name: str) -> Store:
        """`get("stores", name)`."""
        store: Store = self.get("stores", name)
        return store

    def fault(self, name: str) -> Fault:
        """`get("faults", name)`."""
        fault: Fault = self.get("faults", name)
        return fault

    def cells(self, flow: Flow, asked: Sequence[str] = ()) -> list[Cell]:
        """The flow's row of the matrix: what its broker, its first effect's sink and its stores give, in the windows'
        order; then the scenarios of two faults that `asked` (globs over `window:fault`) and the flow's own globs name.
        """
        broker = self.broker(flow.source.broker)
        aims = list(broker.aims(flow))
        for effect in flow.effects[:1]:
            # A sink knows when a redelivery is due; whether there is one is the broker's to promise.
            given = self.sink(effect.sink).aims(flow, effect)
            aims += given if broker.redelivers else [replace(aim, redelivers=frozenset()) for aim in given]
        for use in flow.stores:
            given = self.store(use.kind).aims(flow, use)
            aims += given if broker.redelivers else [replace(aim, redelivers=frozenset()) for aim in given]
        single = cells_of(flow.name, aims, self.names("faults"))
        pairs = pairs_of(single, (*flow.scenarios, *asked), lambda name: self.fault(name).action is Action.HOLD)
        return [*single, *pairs]

    def check_all(self) -> list[str]:
        """What is wrong with any plugin, in words: for `doctor`."""
        wrong = []
        for group in PORTS:
            for name in self.names(group):
                try:
                    self.get(group, name)
                except BadInput as error:
                    wrong.append(str(error))
        return wrong

    def _make(self, group: str, point: EntryPoint) -> Any:
        try:
            loaded = point.load()
            plugin = loaded() if inspect.isclass(loaded) and group not in MADE_BY_THE_RELAY else loaded
        except Exception as error:  # whatever somebody's module raises when it is imported
            raise BadInput(f"{_where(point)} cannot be loaded: {type(error).__name__}: {error}") from error
        wrong = self._breaches(group, point, plugin)
        if wrong:
            raise BadInput("\n".join([f"{_where(point)} is not what {PORTS[group].__name__} demands:", *wrong]))
        return plugin

    def _breaches(self, group: str, point: EntryPoint, plugin: Any) -> list[str]:
        wrong = breaches(plugin, PORTS[group])
        if group in MADE_BY_THE_RELAY:
            if inspect.isclass(plugin):
                wrong += constructor_breaches(plugin, MADE_BY_THE_RELAY[group])
            else:
                wrong.insert(0, f"expected a class, found {plugin!r}")
            return [f"  {text}" for text in wrong]
        called = "id" if group == "faults" else "name"
        if getattr(plugin, called, point.name) != point.name:
            wrong.append(
                f"attribute {called}: expected the entry point's name {point.name}, found {getattr(plugin, called)}"
            )
        for attribute, other in NEEDS.get(group, {}).items():
            needed = getattr(plugin, attribute, None)
            if isinstance(needed, str) and needed not in self._points[other]:
                wrong.append(f"attribute {attribute}: no entry point {needed} in the group {PREFIX}{other}")
        return [f"  {text}" for text in wrong]


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "no distribution"


def _where(point: EntryPoint) -> str:
    return f"the entry point {point.name} = {point.value} (group {point.group}, distribution {_owner(point)})"
