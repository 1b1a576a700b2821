"""The backend `local`: servers and systems under test as processes of this machine, owned by the keeper.

Goes in: recipes. Comes out: instances. To try it:

    with KeeperClient.start(folder) as keeper:
        instance = LocalLauncher(keeper).launch(Recipe("redis.0", ("redis-server", "--port", "6400"), env, data, log))
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import socket
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.address import Address
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import ContainerRecipe, Evidence, Recipe, Scope, Signal, Way

FIRST_PORT = 10_000
NO_IMAGES = "{}: the image {} needs Docker, and the backend is local"
_FEWEST_PORTS = 1_000
_TRIES = 200
CLAIMS = 64
"""Ports given by this process that others are kept from; what was given before those is bound by now."""
_claims: deque[int] = deque()
"""Their file descriptors: they stay open until this process ends, on purpose."""
_claims_lock = threading.Lock()
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class LocalInstance:
    """One server or replica as processes (`ports.launch.Instance`)."""

    def __init__(self, keeper: KeeperClient, recipe: Recipe) -> None:
        """`recipe` must have been launched."""
        self._keeper = keeper
        self._recipe = recipe
        # what is there at the first start (configuration) is no data: `restart(keep_data=False)` leaves it
        self._before = _below(recipe.folder) if keeper.owns(recipe.folder) else None

    @property
    def name(self) -> str:
        return self._recipe.name

    @property
    def nodes(self) -> Mapping[str, Address]:
        return self._recipe.nodes

    @property
    def inside(self) -> Mapping[str, Address]:
        return self._recipe.nodes

    @property
    def log(self) -> Path:
        return self._recipe.log

    def alive(self) -> bool:
        """Whether any process of it lives."""
        return self._keeper.alive(self.name)

    def exits(self) -> tuple[int, ...]:
        """Exit codes of the incarnations that ended unasked (negative: a signal)."""
        return self._keeper.exits(self.name)

    def pids(self) -> tuple[int, ...]:
        """Its living processes."""
        return self._keeper.pids(self.name)

    def signal(self, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        """Sends it and looks; after KILL or TERM of the tree or the parent it stays down until `restart`."""
        return self._keeper.signal(self.name, signal, scope)

    def kill_owner(self, local: Address) -> Evidence:
        """SIGKILL of the child that has the connection from `local` open."""
        return self._keeper.kill_owner(self.name, local)

    def survivors(self) -> int:
        """How many processes would outlive its first one."""
        return len(self._keeper.descendants(self.name))

    def restart(self, keep_data: bool = True) -> Evidence:
        """The next incarnation of one that is down; ok=False if it is up.

        Without `keep_data`, first removes from its folder whatever was not there before its first start. Raises
        BadInput if the folder is not the harness's own: nobody's source code is removed.
        """
        if not keep_data:
            if self._before is None:
                raise BadInput(f"{self.name}: {self._recipe.folder} is not the harness's own folder; its data is kept")
            if self.alive():
                return Evidence(False, f"{self.name} is up: its data is kept", {"pids": list(self.pids())})
            _remove_new(self._recipe.folder, self._before | {self.log})
        return self._keeper.restart(self.name)

    def stop(self, grace_s: float) -> Evidence:
        """SIGTERM to the parent, `grace_s` seconds, SIGKILL to what is left of the tree; facts hold `forced`."""
        return self._keeper.stop(self.name, grace_s)

    def remotes(self) -> tuple[Address, ...]:
        """Where the TCP connections that its processes opened lead now."""
        return self._keeper.remotes(self.name)


class LocalLauncher:
    """Launches through a keeper (`ports.launch.Launcher`). Thread-safe."""

    backend = "local"

    def __init__(self, keeper: KeeperClient) -> None:
        self._keeper = keeper
        self._lock = threading.Lock()
        self._given: set[int] = set()
        # not the global generator: a run with a seed must not hand out the ports of the run before it
        self._random = random.SystemRandom()

    def launch(self, recipe: Recipe | ContainerRecipe) -> LocalInstance:
        """Starts it; returns as soon as its command runs. Raises BadInput naming a command that cannot be run."""
        if isinstance(recipe, ContainerRecipe):
            raise BadInput(NO_IMAGES.format(recipe.name, recipe.image))
        instance = LocalInstance(self._keeper, recipe)
        self._keeper.launch(recipe)
        return instance

    def ensure_image(self, image: str, named_by: str) -> None:
        """There are none here. Raises BadInput."""
        raise BadInput(NO_IMAGES.format(named_by, image))

    def close(self) -> None:
        """What it launched is the keeper's to end."""

    def record_to(self, folder: Path | None) -> None:
        """Process events go to the keeper's ledger file in `folder`."""
        self._keeper.record_to(folder)

    def ways(self) -> tuple[Way, ...]:
        """All is on 127.0.0.1."""
        return (Way(),)

    def free_port(self) -> int:
        """A port that nothing is bound to, below the kernel's ephemeral range; never the same twice.

        Nor one that another harness of this machine has just been given.
        """
        ports = _port_range()
        with self._lock:
            for _ in range(_TRIES):
                port = self._random.choice(ports)
                if port not in self._given and _claim(port) and _is_free(port):
                    self._given.add(port)
                    return port
        raise HarnessBroke(f"no free port in {ports.start}-{ports.stop - 1} after {_TRIES} tries")


def _port_range() -> range:
    """A client's ephemeral port may be any in the kernel's range: a server's would now and then be taken."""
    first = int(_RANGE.read_text().split()[0])
    return range(FIRST_PORT, first if first >= FIRST_PORT + _FEWEST_PORTS else 65_536)


def _claim(port: int) -> bool:
    """Whether no other launcher of this machine has it; then none will, for the next `CLAIMS` ports of this process.

    A server binds its port up to seconds after it was found free, and another session may look in between. A name in
    the abstract namespace is as wide as the ports are, leaves no file, and ends with the process.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0chaosharness.port.{port}")
    except OSError:
        claim.close()
        return False
    with _claims_lock:
        _claims.append(claim.detach())
        if len(_claims) > CLAIMS:
            os.close(_claims.popleft())
    return True


def _is_free(port: int) -> bool:
    """No address of this machine has it, in either family."""
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # no such family here
        with probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((host, port))
            except OSError as refused:
                if family == socket.AF_INET or refused.errno == errno.EADDRINUSE:
                    return False
    return True


def _below(folder: Path) -> frozenset[Path]:
    return frozenset(folder.rglob("*"))


def _remove_new(folder: Path, kept: frozenset[Path]) -> None:
    """Removes what is not in `kept`; a folder that is stays, emptied likewise."""
    for path in folder.iterdir():
        if path not in kept:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        elif path.is_dir() and not path.is_symlink():
            _remove_new(path, kept)
