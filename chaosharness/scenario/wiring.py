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
from chaosharness.model.address import BROKER, HARNESS, Address, LinkId
from chaosharness.model.flow import Effect, Flow, Service
from chaosharness.ports.launch import ContainerRecipe, Instance, Namespace, Recipe
from chaosharness.ports.plugin import Broker
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
                    named = self._effect(service, replica, flow, effect)
                    values |= {full + suffix: text for suffix, text in named.items()}
                    if flow is self.flow:
                        values |= {bare + suffix: text for suffix, text in named.items()}
            values |= {f"{flow.name}.{name}": text for name, text in list(values.items()) if name.startswith("broker")}
        return values

    def _connection(self, name: str, service: Service, replica: int, producer: bool) -> dict[str, str]:
        link = self._link(LinkId(service.name, replica, BROKER), lambda link: self._tap(link, producer))
        address = _seen_by(service, link)
        text = self.broker.connection_string(address, self.namespace)
        return {name: text, f"{name}.host": address.host, f"{name}.port": str(address.port)}

    def _effect(self, service: Service, replica: int, flow: Flow, effect: Effect) -> Mapping[str, str]:
        name = self._sink_name(flow, effect)
        link = self._link(LinkId(service.name, replica, f"effect.{name}"), lambda link: self.rig.relay.sink(name, link))
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

    def _sink_name(self, flow: Flow, effect: Effect) -> str:
        return effect.name if flow is self.flow else f"{flow.name}.{effect.name}"


def _seen_by(service: Service, link: Link) -> Address:
    """Where the service connects to: a container sees the link at another address than this machine does."""
    return link.inside if service.image else link.listen
