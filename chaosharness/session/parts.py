"""The running parts that the scenarios of a session share: keeper, launcher, Toxiproxy, relay, servers.

Goes in: flows. Comes out: a `Rig` with every server that they need. To try it: `chaosharness run flows.toml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from chaosharness.keeper.client import KeeperClient
from chaosharness.links.ports import LinkPorts, ports_of
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.links.way import find_way
from chaosharness.model.errors import BadInput, ChaosError, MissingServer, ServerFailed
from chaosharness.model.flow import Flow, Service
from chaosharness.ports.launch import Availability, Instance, Launcher, Server, Way
from chaosharness.registry import Registry
from chaosharness.relay.client import RelayClient
from chaosharness.scenario.rig import Rig, Running
from chaosharness.servers.docker.engine import require
from chaosharness.servers.docker.images import Image, image_of
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import FEWEST_LINKS, Toxiproxy
from chaosharness.session.backend import Backend, check_images, images_of

BROKERS, STORES = "", "store"
"""What a server is for; a store's is never a broker's: a fault of the one must leave the other alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A server by its name, on docker by its image too, and what it is for."""

    name: str
    image: Image | None
    role: str = BROKERS

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.role}" if self.role else self.name


class Parts:
    """Nothing starts before it is needed; `close` ends everything. Used by one thread."""

    def __init__(self, registry: Registry, backend: Backend, folder: Path) -> None:
        """`folder`: the run's."""
        self.versions: dict[str, str] = {}
        """Of the servers that were started."""
        self.images: dict[str, str] = {}
        self._registry = registry
        self._backend = backend
        self._folder = folder
        self._round = 1
        self._refused: dict[frozenset[object], ChaosError] = {}
        self._broke_once: set[frozenset[object]] = set()
        self._forget()

    def _forget(self) -> None:
        self._ends = ExitStack()
        self._rig: Rig | None = None
        self._keeper: KeeperClient | None = None
        self._toxiproxy: tuple[Image | None, int] = (None, 0)
        self._servers: dict[Wanted, Running] = {}
        self._ensured: set[str] = set()

    def close(self) -> None:
        """Ends everything that was started. Idempotent."""
        ends = self._ends
        self._forget()
        self._round += 1
        ends.close()

    def rig(self, flows: Sequence[Flow]) -> Rig:
        """With every server that these flows need; starts what is not there yet.

        Raises MissingServer, BadInput (an image that is not to be had), ServerFailed, HarnessBroke; again and at once
        for what needs the same, a failure after a second try. Nothing is left running then.
        """
        check_images(self._backend, flows)
        images = {name: image for flow in reversed(flows) for name, image in flow.images.items()}
        services = images_of(flows)
        for_brokers = {self._registry.broker(flow.source.broker).server for flow in flows}
        for_stores = {self._registry.store(use.kind).server for flow in flows for use in flow.stores}
        wanted = [
            Wanted(name, self._image(name, self._registry.server(name).image, images), role)
            for names, role in ((for_brokers, BROKERS), (for_stores, STORES))
            for name in sorted(names)
        ]
        proxy = self._image("toxiproxy", Toxiproxy.image, images), links_of(flows)
        if self._rig and (self._toxiproxy[0] != proxy[0] or self._toxiproxy[1] < proxy[1]):
            self.close()  # its ports are published when its container is made
        everything: frozenset[object] = frozenset({*wanted, ("toxiproxy", proxy[0]), *services.items()})
        if everything in self._refused:
            raise self._refused[everything]
        try:
            rig = self._start(wanted, *proxy, services)
        except BaseException as error:
            again = everything in self._broke_once
            if isinstance(error, BadInput) or (isinstance(error, ChaosError) and again):
                self._refused[everything] = error
            self._broke_once.add(everything)
            self.close()
            raise
        rig.servers = {one.name: self._servers[one] for one in wanted if one.role == BROKERS}
        rig.stores = {one.name: self._servers[one] for one in wanted if one.role == STORES}
        return rig

    # how

    def _image(self, name: str, official: str, images: Mapping[str, str]) -> Image | None:
        return image_of(name, official, images) if self._backend.name == "docker" else None

    def _start(
        self, wanted: Iterable[Wanted], proxy_image: Image | None, links: int, services: Mapping[str, str]
    ) -> Rig:
        servers = {one: self._registry.server(one.name) for one in wanted if one not in self._servers}
        toxiproxy = Toxiproxy(links)
        if self._backend.name == "local":
            _check_available([server.available() for server in ([] if self._rig else [toxiproxy, *servers.values()])])
        launcher = self._rig.launcher if self._rig else self._launcher()
        for image in sorted(services.keys() - self._ensured):
            launcher.ensure_image(image, services[image])
            self._ensured.add(image)
        with ThreadPoolExecutor(max_workers=8) as pool:
            starting = {
                one: pool.submit(self._start_server, server, launcher, one.image, one.folder)
                for one, server in servers.items()
            }
            if self._rig is None:
                proxy = pool.submit(self._start_server, toxiproxy, launcher, proxy_image, Toxiproxy.name)
                relay = RelayClient.start(launcher, _made(self._folder / "relay"))
                self._ends.callback(relay.close)
                self._rig = self._make_rig(launcher, relay, proxy.result())
                self._toxiproxy = proxy_image, links
            for one, started in starting.items():
                self._servers[one] = Running(servers[one], started.result())
        return self._rig

    def _launcher(self) -> Launcher:
        if self._backend.engine:
            require(self._backend.engine)
        self._keeper = KeeperClient.start(self._folder / "keeper")
        self._ends.callback(self._keeper.close)
        if self._backend.engine is None:
            return LocalLauncher(self._keeper)
        from chaosharness.servers.docker.launcher import DockerLauncher  # here: its libraries take 0.3 s to load

        launcher = DockerLauncher(self._backend.engine, self._keeper)
        self._ends.callback(launcher.close)
        return launcher

    def _make_rig(self, launcher: Launcher, relay: RelayClient, toxiproxy: Instance) -> Rig:
        toxiproxies = Toxiproxies(toxiproxy.nodes["api"])
        self._ends.callback(toxiproxies.close)
        ports: LinkPorts = ports_of(toxiproxy, launcher)
        ways = launcher.ways()
        way = find_way(toxiproxies, ports, ways) if ways != (Way(),) else Way()
        relay.bind = way.bind
        return Rig(
            registry=self._registry,
            launcher=launcher,
            relay=relay,
            toxiproxies=toxiproxies,
            toxiproxy_log=toxiproxy.log,
            link_ports=ports,
            way=way,
            servers={},
            stores={},
            folder=self._folder,
        )

    def _start_server(self, server: Server, launcher: Launcher, image: Image | None, called: str) -> Instance:
        name = server.name
        folder = self._folder / (f"servers-{self._round}" if self._round > 1 else "servers") / called
        if image is None:
            assert self._keeper
            self._keeper.remove_on_end(folder / "data")
            self.versions[name] = server.available().version or "unknown"
            return server.start(launcher, folder)
        launcher.ensure_image(image.name, image.named_by)
        try:
            instance = server.start(launcher, folder, image.name)
        except ServerFailed as failed:
            raise ServerFailed(f"{failed}\nIts image: {image.name} (named by: {image.named_by})") from failed
        self.versions[name] = server.version(instance)
        self.images[name] = image.name
        return instance


def links_of(flows: Iterable[Flow]) -> int:
    """How many links a scenario of these flows may have at most, with one to spare for the probe."""
    flows = list(flows)
    reached = 1 + sum((len(flow.effects) or 1) + len(flow.stores) for flow in flows)
    services: dict[str, Service] = {}
    for flow in flows:
        for service in (flow.consumer, flow.producer.service if flow.producer else None):
            if service:
                services[service.name] = service
    replicas = 2 + sum(service.replicas for service in services.values())  # the harness, and one that may join
    return max(FEWEST_LINKS, 1 + replicas * reached)


def _check_available(found: Sequence[Availability]) -> None:
    lacking = [one for one in found if not one.ok]
    if lacking:
        lines = [f"{one.server} cannot be started here: {one.how}; to add it: {one.remedy}" for one in lacking]
        raise MissingServer("\n".join([*lines, "`chaosharness doctor` shows what this machine has"]))


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


__all__ = ["Parts", "links_of"]
