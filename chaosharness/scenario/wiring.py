"""The wires of one scenario: a leased namespace, a tap and a Toxiproxy link for each replica and what it reaches.

replica ──► link (Toxiproxy) ──► tap (relay) ──► broker
replica ──► link (Toxiproxy) ──► sink's stub (relay)
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from chaosharness.flowfile.names import effect_name
from chaosharness.flowfile.templates import fill, names_in, with_attributes
from chaosharness.links.link import Link
from chaosharness.model.address import BROKER, EFFECT, HARNESS, STORE, Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.flow import Effect, Flow, Service, StoreUse
from chaosharness.ports.launch import ContainerRecipe, Instance, Namespace, Recipe
from chaosharness.ports.plugin import Broker, Store, StoreTarget
from chaosharness.ports.wire import CodecOptions
from chaosharness.scenario.rig import Rig, Running
from chaosharness.systems.command import command_recipe
from chaosharness.systems.container import container_recipe

ARRIVAL = Effect(name="effect", sink="http", target="")
"""The effect of a flow without a consumer: the harness's own reader reports each message that arrives."""


def with_reader(flow: Flow, broker: Broker) -> Flow:
    """The flow with the harness's own reader where it declares no consumer: arrival is then the effect."""
    if flow.consumer:
        return flow
    argv, env = broker.reader(flow.source)
    reader = Service(name=f"{flow.name}.reader", command=shlex.join(argv), env=env)
    return replace(flow, consumer=reader, effects=(ARRIVAL,))


@dataclass(frozen=True, slots=True)
class StorePlace:
    """A store of the scenario: where it is, and the piece of it that is the scenario's."""

    use: StoreUse
    store: Store
    running: Running
    namespace: Namespace


@dataclass(slots=True)
class Wiring:
    """Built before a system under test starts, taken down after it has stopped."""

    rig: Rig
    flow: Flow
    """With a consumer, if need be the harness's own reader."""
    others: Sequence[Flow]
    """Further flows over the same deployment: their templates must name something too."""
    broker: Broker
    nonce: str
    running: Running = field(init=False)
    namespace: Namespace = field(init=False)
    stores: dict[str, StorePlace] = field(default_factory=dict)
    """By the names that links have: `dedup`; another flow's own: `FLOW.dedup`."""
    links: dict[LinkId, Link] = field(default_factory=dict)
    instances: dict[tuple[str, int], Instance] = field(default_factory=dict)
    direct: set[Address] = field(default_factory=set)
    """Where a system under test must not connect to: past its link."""
    _harness_tap: Address | None = None
    _ends: ExitStack = field(default_factory=ExitStack)

    def build(self, folder: Path) -> None:
        """Leases, declares, and opens the sinks; links come with each service."""
        rig = self.rig
        self.running = rig.servers[self.broker.server]
        rig.relay.begin(folder, self.nonce, rig.nonces)
        rig.launcher.record_to(folder)
        server, instance = self.running.server, self.running.instance
        self.namespace = server.lease(instance, self.nonce)
        self._ends.callback(server.release, instance, self.namespace)
        self.direct.update(instance.nodes.values())
        for flow in (self.flow, *self.others):
            if flow.source.declare and flow.source.broker == self.flow.source.broker:
                self.broker.declare(self.running.instance, self.namespace, flow.source)
            for effect in flow.effects:
                sink = rig.registry.sink(effect.sink)
                rig.relay.add_sink(self._sink_name(flow, effect), sink.stub, sink.stub_options(effect))
            for use in flow.stores:
                self._open_store(self._store_name(flow, use), use)

    def _open_store(self, name: str, use: StoreUse) -> None:
        if name in self.stores:
            return
        store = self.rig.registry.store(use.kind)
        running = self.rig.stores[store.server]
        namespace = running.server.lease(running.instance, f"{self.nonce}-{name}")
        self._ends.callback(running.server.release, running.instance, namespace)
        self.direct.update(running.instance.nodes.values())
        self.stores[name] = StorePlace(use, store, running, namespace)

    def store_target(self, held: LinkId) -> StoreTarget | None:
        """The store that `held` leads to, else the flow's first; with the link of the same replica to it."""
        name = held.server.removeprefix(STORE) if held.server.startswith(STORE) else None
        name = name or next((self._store_name(self.flow, use) for use in self.flow.stores), None)
        place = self.stores.get(name) if name else None
        if place is None:
            return None
        running = place.running
        to_it = {link: found for link, found in self.links.items() if link.server == f"{STORE}{name}"}
        return StoreTarget(
            use=place.use,
            store=place.store,
            server=running.instance,
            server_ready=lambda: running.server.wait_ready(running.instance),
            namespace=place.namespace,
            link=next((found for link, found in to_it.items() if _of(link) == _of(held)), None),
            others=[found for link, found in to_it.items() if link.service == held.service and _of(link) != _of(held)],
        )

    def sink_of(self, held: LinkId) -> str:
        """The sink that `held` leads to, else the flow's first. Raises HarnessBroke where the flow has none."""
        if held.server.startswith(EFFECT):
            return held.server.removeprefix(EFFECT)
        for effect in self.flow.effects:
            return self._sink_name(self.flow, effect)
        raise HarnessBroke(f"the flow {self.flow.name} has no sink")

    def take_down(self) -> None:
        """Removes links and gives the namespace back; the relay's scenario must have ended."""
        self._ends.close()

    def launch(
        self,
        service: Service,
        replica: int,
        folder: Path,
        *,
        producer: bool = False,
        port: int | None = None,
        stdio: tuple[int, int] | None = None,
        afresh: bool = False,
    ) -> Instance:
        """Starts a replica behind links of its own; `afresh`: under new values of `{replica}` and `{host}`."""
        identity = replica + service.replicas if afresh else replica
        name, host = f"{service.name}.{replica}", f"{service.name}-{identity}"
        values = {**self._values(service, replica, producer), "replica": str(identity), "host": host}
        if port is not None:
            values["port"] = str(port)

        def filled(text: str) -> str:
            return fill(text, values)

        recipe: Recipe | ContainerRecipe
        if service.image:
            recipe = container_recipe(service, name, filled, folder, host=host, port=port, stdio=stdio)
        else:
            recipe = command_recipe(service, name, filled, folder, stdio)
        instance = self.rig.launcher.launch(recipe)
        self.instances[service.name, replica] = instance
        return instance

    def harness_broker(self) -> Address:
        """The tap of the harness's own producer; no toxic ever stands on it, so it needs no Toxiproxy."""
        if self._harness_tap is None:
            link = LinkId(HARNESS, 0, BROKER)
            self._harness_tap = self._tap(link, producer=True)
        return self._harness_tap

    def _values(self, service: Service, replica: int, producer: bool) -> dict[str, str]:
        """Every template of the service, to what stands for it on this replica's links."""
        values = self._connection("broker", service, replica, producer)
        used = {name for text in (service.command, *service.env.values()) for name in names_in(text)}
        for flow in (self.flow, *self.others):
            for effect in flow.effects:
                bare, full = effect_name(effect), f"{flow.name}.{effect_name(effect)}"
                wanted = {*with_attributes(full), *(with_attributes(bare) if flow is self.flow else ())}
                if used & wanted:
                    values |= self._named(flow, bare, self._effect(service, replica, flow, effect))
            for use in flow.stores:
                bare, full = f"stores.{use.name}", f"{flow.name}.stores.{use.name}"
                wanted = {*with_attributes(full), *(with_attributes(bare) if flow is self.flow else ())}
                if used & wanted:
                    values |= self._named(flow, bare, self._store(service, replica, self._store_name(flow, use)))
            values |= {f"{flow.name}.{name}": text for name, text in list(values.items()) if name.startswith("broker")}
        return values

    def _named(self, flow: Flow, bare: str, texts: Mapping[str, str]) -> dict[str, str]:
        """Under the flow's name; for the flow that is run also without it."""
        names = [f"{flow.name}.{bare}", *([bare] if flow is self.flow else [])]
        return {name + suffix: text for name in names for suffix, text in texts.items()}

    def _store(self, service: Service, replica: int, name: str) -> Mapping[str, str]:
        place = self.stores[name]
        link = self._link(LinkId(service.name, replica, STORE + name), lambda link: self._store_tap(link, place))
        address = _seen_by(service, link)
        text = place.store.connection_string(address, place.namespace)
        return {"": text, ".host": address.host, ".port": str(address.port)}

    def _store_tap(self, link: LinkId, place: StorePlace) -> Address:
        upstream = place.running.instance.nodes[place.running.server.port]
        return self.rig.relay.tap(link, upstream, place.store.codec, CodecOptions(place.use.name))

    def _connection(self, name: str, service: Service, replica: int, producer: bool) -> dict[str, str]:
        link = self._link(LinkId(service.name, replica, BROKER), lambda link: self._tap(link, producer))
        address = _seen_by(service, link)
        text = self.broker.connection_string(address, self.namespace)
        return {name: text, f"{name}.host": address.host, f"{name}.port": str(address.port)}

    def _effect(self, service: Service, replica: int, flow: Flow, effect: Effect) -> Mapping[str, str]:
        name = self._sink_name(flow, effect)
        link = self._link(LinkId(service.name, replica, EFFECT + name), lambda link: self.rig.relay.sink(name, link))
        sink = self.rig.registry.sink(effect.sink)
        address = _seen_by(service, link)
        return {"": sink.connection_string(address), ".host": address.host, ".port": str(address.port)}

    def _link(self, identity: LinkId, behind: Callable[[LinkId], Address]) -> Link:
        if identity not in self.links:
            upstream = behind(identity)
            self.direct.add(upstream)
            self._ends.callback(self.rig.link_ports.give_back, listener := self.rig.link_ports.lend())
            seen = Address(self.rig.way.seen_as, upstream.port)
            self.links[identity] = link = self.rig.toxiproxies.link(identity, listener, seen)
            self._ends.callback(link.remove)
        return self.links[identity]

    def _tap(self, link: LinkId, producer: bool) -> Address:
        upstream = self.running.instance.nodes[self.running.server.port]
        options = self.broker.codec_options(self.flow.source, producer)
        return self.rig.relay.tap(link, upstream, self.broker.codec, options)

    def _store_name(self, flow: Flow, use: StoreUse) -> str:
        return use.name if flow is self.flow or use.shared else f"{flow.name}.{use.name}"

    def _sink_name(self, flow: Flow, effect: Effect) -> str:
        return effect.name if flow is self.flow else f"{flow.name}.{effect.name}"


def _of(link: LinkId) -> tuple[str, int]:
    """The replica that a link belongs to."""
    return link.service, link.replica


def _seen_by(service: Service, link: Link) -> Address:
    """Where the service connects to: a container sees the link at another address than this machine does."""
    return link.inside if service.image else link.listen
