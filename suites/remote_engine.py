"""A Docker Engine elsewhere: a second dockerd, in a network of its own that one wire joins to this machine.

Goes in: images of this machine's engine, a folder. Comes out: a `RemoteEngine` that has them, reached by its `url`; its
network can be broken as a firewall would. To try it: suites/conformance/test_docker_remote.py.

It also has process ids and mounts of its own: nothing that its containers do is seen in this machine's /proc by the ids
that it tells. A keeper owns it, so that nothing of it is left, whatever way the tests end: with its processes go their
containers, their network, the wire, the mounts; the keeper then removes its folder and its control groups.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe
from chaosharness.servers.docker.engine import Engine, find_engine
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.logs import tail

NEEDED = ("dockerd", "docker", "ip", "iptables", "nsenter", "unshare")
ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
STARTS_WITHIN_S = 60.0
GONE_WITHIN_S = 10.0
TRIES = 20
CALL_TIMEOUT_S = 60.0
PORT = 2375
OPEN = ("--tls=false",)
"""Said, dockerd does not wait for 15 s before it opens a port without TLS."""
NOTHING: Mapping[str, str] = {}
IN_ITS_NETWORK = """
ip link add wire type veth peer name "$1" netns "$2"
ip addr add "$3/30" dev wire
ip link set wire up
ip link set lo up
shift 3
exec unshare --mount --pid --fork --kill-child --mount-proc dockerd "$@"
"""
"""Arguments: the other end of the wire, a process that is in its network, this end's address, dockerd's own."""
REMOVE_GROUPS = """find /sys/fs/cgroup -depth -type d -path "*/$0*" -exec rmdir {} +"""


class NoRig(Exception):
    """This machine cannot have a second engine; the message says what is missing."""


@dataclass(frozen=True)
class RemoteEngine:
    """`address` is its host's, `harness` this machine's as seen from it."""

    address: str
    harness: str
    socket: Path
    """By which its host's own programs reach it."""
    pid: int
    """A process in its network."""
    tls: Mapping[str, str]
    """DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, where it insists on them."""

    @property
    def url(self) -> str:
        return f"tcp://{self.address}:{PORT}"

    @property
    def env(self) -> Mapping[str, str]:
        """What leads to it, and says so."""
        return {"DOCKER_HOST": self.url, "CHAOSHARNESS_BACKEND": "docker", **self.tls}

    def look(self) -> Engine:
        """As the product finds it."""
        return find_engine(self.env)

    def host_command(self, *argv: str) -> list[str]:
        """A command that runs on its host, as far as the network goes."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", *argv]

    def run_on_host(self, *argv: str) -> None:
        """Raises NoRig."""
        _run(self.host_command(*argv))

    @contextmanager
    def rule(self, chain: str, *rule: str, table: str = "filter") -> Iterator[None]:
        """A rule of iptables, before all others of its chain, while the block lasts."""
        self.run_on_host("iptables", "-w", "-t", table, "-I", chain, *rule)
        try:
            yield
        finally:
            self.run_on_host("iptables", "-w", "-t", table, "-D", chain, *rule)

    def left(self) -> list[str]:
        """Containers, networks and volumes that carry a harness's label."""
        label = ("--filter", "label=chaosharness.session")
        kinds = (("ps", "-a"), ("network", "ls"), ("volume", "ls"))
        return [id for kind in kinds for id in _run(["docker", *kind, "-q", *label], self.env).split()]


@contextmanager
def remote_engine(
    folder: Path,
    local: Engine,
    images: Iterable[str],
    options: Sequence[str] = OPEN,
    tls: Mapping[str, str] = NOTHING,
    addresses: tuple[str, str] | None = None,
) -> Iterator[RemoteEngine]:
    """`images` are copied from the engine `local`; `options` are dockerd's. Raises NoRig."""
    missing = [name for name in NEEDED if not shutil.which(name, path=ENVIRONMENT["PATH"])]
    if missing or os.geteuid():
        raise NoRig(f"a second engine needs root, and the programs {', '.join(NEEDED)}; missing: {missing or 'root'}")
    wire = f"ch{secrets.token_hex(4)}"
    with KeeperClient.start(folder / "keeper") as keeper:
        keeper.run_on_end(("sh", "-c", REMOVE_GROUPS, wire), ENVIRONMENT, GONE_WITHIN_S)
        engine = _started(keeper, folder / "engine", wire, addresses or two_addresses(), options, tls)
        _copy(list(images), local, engine)
        yield engine
    wait_for(f"the wire {wire} to be gone", GONE_WITHIN_S, lambda: not Path("/sys/class/net", wire).exists())


def _started(
    keeper: KeeperClient,
    folder: Path,
    wire: str,
    addresses: tuple[str, str],
    options: Sequence[str],
    tls: Mapping[str, str],
) -> RemoteEngine:
    folder.mkdir(parents=True)
    keeper.remove_on_end(folder)
    here, there = addresses
    argv = [
        *("unshare", "--net", "sh", "-ec", IN_ITS_NETWORK, "sh", wire, str(os.getpid()), there),
        *("--host", f"tcp://{there}:{PORT}", "--host", f"unix://{folder / 'docker.sock'}"),
        *("--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")),
        *("--cgroup-parent", f"/{wire}", *options),
    ]
    instance = LocalLauncher(keeper).launch(Recipe("dockerd", tuple(argv), ENVIRONMENT, folder, folder / "dockerd.log"))
    engine = RemoteEngine(there, here, folder / "docker.sock", instance.pids()[0], tls)

    def joined() -> bool:
        return Path("/sys/class/net", wire).exists() or not instance.alive()

    def answers() -> bool:
        return engine.look().ok or not instance.alive()

    try:
        wait_for("the wire to the second engine", STARTS_WITHIN_S, joined)
        _run(["ip", "addr", "add", f"{here}/30", "dev", wire])
        _run(["ip", "link", "set", wire, "up"])
        wait_for("the second engine to answer", STARTS_WITHIN_S, answers, poll_s=0.05, last_seen=engine.look)
    except (TimedOut, NoRig) as failed:
        raise NoRig(f"{failed}; {tail(instance.log)}") from failed
    if not instance.alive():
        raise NoRig(f"the second dockerd ended; {tail(instance.log)}")
    return engine


def two_addresses() -> tuple[str, str]:
    """Of a subnet for two that nobody here uses: this machine's, and the engine's."""
    taken = _run(["ip", "-o", "-4", "addr"])
    for _ in range(TRIES):
        network = f"10.{secrets.randbelow(56) + 200}.{secrets.randbelow(256)}"
        if f" {network}." not in taken:
            return f"{network}.1", f"{network}.2"
    raise NoRig(f"no subnet is free for the second engine:\n{taken}")


def _copy(images: Sequence[str], local: Engine, engine: RemoteEngine) -> None:
    here = {**ENVIRONMENT, **local.settings}
    there = {**ENVIRONMENT, **engine.env}
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE, env=here) as save:
        load = subprocess.run(
            ["docker", "load"], stdin=save.stdout, capture_output=True, text=True, timeout=CALL_TIMEOUT_S, env=there
        )
    if load.returncode or save.returncode:
        raise NoRig(f"the images {', '.join(images)} cannot be copied into the second engine: {load.stderr.strip()}")


def _run(argv: Sequence[str], env: Mapping[str, str] = NOTHING) -> str:
    """What it says. Raises NoRig."""
    ended = subprocess.run(argv, env={**ENVIRONMENT, **env}, capture_output=True, text=True, timeout=CALL_TIMEOUT_S)
    if ended.returncode:
        raise NoRig(f"{' '.join(argv)}: {ended.stderr.strip()}")
    return ended.stdout
