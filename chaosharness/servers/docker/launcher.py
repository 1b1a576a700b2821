"""The backend `docker`: containers for servers and for systems under test that are images, processes for the rest.

Goes in: recipes. Comes out: instances. To try it:

    with KeeperClient.start(folder) as keeper, DockerLauncher(find_engine(), keeper) as launcher:
        RabbitMQ().start(launcher, folder / "rabbitmq", RabbitMQ.image)
"""

from __future__ import annotations

import io
import random
import tarfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import docker.errors

from chaosharness.keeper.client import KeeperClient
from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke, ServerFailed
from chaosharness.model.event import Kind
from chaosharness.ports.launch import ContainerRecipe, Instance, Recipe, Way
from chaosharness.servers.docker.engine import Engine, require
from chaosharness.servers.docker.ground import Ground
from chaosharness.servers.docker.images import ensure
from chaosharness.servers.docker.inside import Look
from chaosharness.servers.docker.instance import LOST, DockerInstance
from chaosharness.servers.local import FIRST_PORT, LocalLauncher

ORIGIN = "docker"
LAST_PORT = 32_767
"""Above it are the ports that kernels give to clients."""
TRIES = 5
TAKEN = ("port is already allocated", "address already in use")
UNUSABLE = ("executable file not found", "no such file or directory", "permission denied", "not a directory")
"""What the engine says of a command, or of the folder that it is to run in."""


class DockerLauncher:
    """Launches containers on one engine, and processes through a keeper (`ports.launch.Launcher`). Thread-safe."""

    backend = "docker"

    def __init__(self, engine: Engine, keeper: KeeperClient) -> None:
        """Raises MissingServer where the engine does not answer, ServerFailed where it gives no networks."""
        self.engine = require(engine)
        self._local = LocalLauncher(keeper)
        try:
            self.ground = Ground(engine, keeper)
        except LOST as lost:
            raise ServerFailed(f"docker: {engine.url}: {lost}") from lost
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._toolbox: str | None = None
        self._random = random.SystemRandom()

    def __enter__(self) -> DockerLauncher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes every container and network of the session. Idempotent. Raises HarnessBroke."""
        self.record_to(None)
        self.ground.close()

    def ensure_image(self, image: str, named_by: str) -> None:
        """Pulls it where it is not there. Raises BadInput naming the image and who named it."""
        try:
            ensure(self.ground.client, image, named_by)
        except LOST as lost:
            raise HarnessBroke(f"docker: {self.engine.url}: {lost}") from lost

    def launch(self, recipe: Recipe | ContainerRecipe) -> Instance:
        """Starts it. Raises BadInput for a command or image that cannot be run, ServerFailed where Docker refuses."""
        if isinstance(recipe, Recipe):
            return self._local.launch(recipe)
        recipe.log.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if not recipe.service:
                self._toolbox = self._toolbox or recipe.image
        for attempt in range(TRIES):
            ports = {node: self.free_port() for node in recipe.ports}
            try:
                return self._launched(recipe, ports)
            except docker.errors.APIError as refused:
                why = str(refused.explanation or refused)
                if any(text in why for text in TAKEN) and attempt < TRIES - 1:
                    continue  # somebody was quicker
                raise _refusal(recipe, ports, why) from refused
            except LOST as lost:
                raise HarnessBroke(f"{recipe.name}: the engine at {self.engine.url} does not answer: {lost}") from lost
        raise AssertionError("unreachable")

    def record_to(self, folder: Path | None) -> None:
        """Of processes to the keeper's file, of containers to `docker.ledger.jsonl`."""
        self._local.record_to(folder)
        with self._lock:
            before, self._ledger = self._ledger, Ledger(folder, ORIGIN) if folder else None
        if before:
            before.end()

    def ways(self) -> Sequence[Way]:
        return self.ground.ways()

    def free_port(self) -> int:
        """Of this machine, where the engine publishes on it; elsewhere a guess, which the engine may refuse."""
        if self.engine.local:
            return self._local.free_port()
        return self._random.randint(FIRST_PORT, LAST_PORT)

    def _launched(self, recipe: ContainerRecipe, ports: Mapping[str, int]) -> DockerInstance:
        ground = self.ground
        network = ground.links if recipe.service else ground.servers
        host, publish_at = ground.host(network), ground.publish_at(network)
        bindings = {f"{recipe.ports[node] or port}/tcp": (publish_at, port) for node, port in ports.items()}
        look = Look(ground.client, network, ground.create, self._image_with_a_shell, self.engine.local)
        instance = DockerInstance(
            recipe,
            lambda: self._create(recipe, network.name, bindings),
            ground.discard,
            self._record,
            look,
            {node: Address(host, port) for node, port in ports.items()},
        )
        try:
            instance.start()
            for published in list(instance.nodes.values())[:1]:
                ground.prove_way_in(published)
        except BaseException:
            instance.discard()
            raise
        return instance

    def _create(self, recipe: ContainerRecipe, network: str, bindings: Mapping[str, tuple[str, int]]) -> Any:
        container = self.ground.create(
            recipe.image,
            recipe.name,
            command=list(recipe.command) or None,
            environment=dict(recipe.env),
            ports=dict(bindings),
            network=network,
            hostname=recipe.hostname or recipe.name,
            working_dir=recipe.workdir,
            stdin_open=recipe.stdio is not None,
            use_config_proxy=False,  # nothing of this machine is passed on that was not asked for
        )
        try:
            if recipe.network:
                self._join(recipe, container)
            if recipe.files:
                container.put_archive("/", _archive(recipe.files))
        except BaseException:
            self.ground.discard(container)
            raise
        return container

    def _join(self, recipe: ContainerRecipe, container: Any) -> None:
        try:
            self.ground.client.networks.get(recipe.network).connect(container)
        except docker.errors.APIError as refused:
            why = refused.explanation or refused
            raise BadInput(f"{recipe.name}: its network {recipe.network!r} cannot be joined: {why}") from refused

    def _record(self, kind: Kind, data: Mapping[str, Any]) -> None:
        with self._lock:
            if self._ledger:
                self._ledger.append(kind, data=data)

    def _image_with_a_shell(self) -> str:
        if self._toolbox is None:
            raise HarnessBroke("docker: no server's container runs whose image could be looked from")
        return self._toolbox


def _refusal(recipe: ContainerRecipe, ports: Mapping[str, int], why: str) -> BadInput | ServerFailed:
    if any(text in why for text in TAKEN):
        return ServerFailed(f"{recipe.name}: its ports {sorted(ports.values())} cannot be published: {why}")
    if any(text in why for text in UNUSABLE):
        return BadInput(f"{recipe.name}: {recipe.image} cannot run {' '.join(recipe.command) or 'its command'}: {why}")
    return ServerFailed(f"{recipe.name}: Docker does not start {recipe.image}: {why}")


def _archive(files: Mapping[str, bytes]) -> bytes:
    """A tar, readable by whatever user the image runs as."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(str(PurePosixPath(path).relative_to("/")))
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
