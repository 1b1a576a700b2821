"""Redis as one process or container, and an empty database of its own for each scenario.

In: a launcher and a folder. Out: an instance with the node `redis`, its log in `folder/redis.log`, its data in
`folder/data` (a process's); and leases, each a database number. To try it: `suites/conformance/test_servers_redis.py`.

No configuration file of the system is read. The append-only file is on, because a list that a killed Redis forgets
would show nothing of the system under test.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Availability, ContainerRecipe, Instance, Launcher, Namespace, Recipe
from chaosharness.servers.availability import program_of, wait_until_ready

REMEDY = "apt-get install -y redis-server"
PROGRAM = "redis-server"
ALSO_IN = ("/usr/bin", "/usr/sbin", "/usr/local/bin")
"""Looked into after PATH: a service's or a cron job's PATH may lack them."""
INSIDE = 6379
"""The port in a container."""
DATABASES = 4096
LEASES = "chaosharness:leases"
"""In database 0: how many databases were leased. The server counts, so that sessions that share it do not collide."""
LOOK_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 10.0


class Redis:
    """One Redis server. Clients that lease a database see it empty, and nobody else in it."""

    name = "redis"
    port = "redis"
    image = "redis:8.0.2"

    def available(self) -> Availability:
        """Looks for the program and asks it for its version; starts no server."""
        program = shutil.which(PROGRAM) or shutil.which(PROGRAM, path=os.pathsep.join(ALSO_IN))
        if program is None:
            return Availability(self.name, False, None, f"no {PROGRAM} on PATH, nor in {', '.join(ALSO_IN)}", REMEDY)
        try:
            said = subprocess.run(
                [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=CALL_TIMEOUT_S, text=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Availability(self.name, False, None, f"{program} --version: {error}", REMEDY)
        version = re.search(r"\bv=(\S+)", said.stdout)
        if said.returncode or not version:
            how = f"{program} --version says {(said.stdout + said.stderr).strip()[:100]!r}"
            return Availability(self.name, False, None, how, REMEDY)
        return Availability(self.name, True, version.group(1), program)

    def start(self, launcher: Launcher, folder: Path, image: str | None = None) -> Instance:
        """Starts it in `folder`, whose name becomes the instance's. Raises MissingServer, BadInput, ServerFailed."""
        folder = folder.resolve()
        instance = launcher.launch(_container(folder, image) if image else self._process(launcher, folder))
        self.wait_ready(instance)
        return instance

    def version(self, instance: Instance) -> str:
        """As INFO has it. Raises HarnessBroke if Redis cannot be reached."""
        with _calling(instance, "tell its version"), connected(instance, 0) as client:
            return str(client.info("server")["redis_version"])

    def _process(self, launcher: Launcher, folder: Path) -> Recipe:
        program = program_of(self.available(), "Redis")
        address = Address("127.0.0.1", launcher.free_port())
        data = folder / "data"
        data.mkdir(parents=True)
        return Recipe(
            name=folder.name,
            argv=(program, *_settings(address, data)),
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(data), "LANG": "C.UTF-8"},
            folder=data,
            log=folder / "redis.log",
            nodes={self.port: address},
        )

    def wait_ready(self, instance: Instance) -> None:
        """Returns when PING is answered: once the data is loaded. Raises ServerFailed with the log's tail."""

        def serves() -> bool:
            try:
                with connected(instance, 0, LOOK_TIMEOUT_S) as client:
                    return bool(client.ping())
            except redis.RedisError:  # refused, or still loading
                return False

        wait_until_ready(instance, serves)

    def lease(self, instance: Instance, name: str) -> Namespace:
        """The next database, which must be empty. Raises HarnessBroke if it is not: somebody else works there."""
        with _calling(instance, f"lease a database for {name}"):
            with connected(instance, 0) as client:
                number = 1 + (client.incr(LEASES) - 1) % (DATABASES - 1)
            with connected(instance, number) as client:
                keys = client.dbsize()
        if keys:
            raise HarnessBroke(f"{instance.name}: database {number} holds {keys} keys, expected none when it is leased")
        return Namespace(f"db{number}", {"db": str(number)})

    def release(self, instance: Instance, namespace: Namespace) -> None:
        """Empties the database. Raises HarnessBroke if Redis cannot be reached."""
        with (
            _calling(instance, f"release {namespace.name}"),
            connected(instance, int(namespace.facts["db"])) as client,
        ):
            client.flushdb()


def _container(folder: Path, image: str) -> ContainerRecipe:
    return ContainerRecipe(
        name=folder.name,
        image=image,
        # who may connect is for the network to say that its container is on
        command=(PROGRAM, "--protected-mode", "no", *_settings(Address("0.0.0.0", INSIDE), "/data")),
        env={},
        log=folder / "redis.log",
        ports={Redis.port: INSIDE},
    )


def _settings(address: Address, data: Path | str) -> tuple[str, ...]:
    settings = {
        "bind": address.host,
        "port": str(address.port),
        "dir": str(data),
        "databases": str(DATABASES),
        "daemonize": "no",
        "save": "",
        "appendonly": "yes",
        # Each write is with the kernel before it is answered, so that a kill of the process loses nothing that was
        # confirmed. `everysec` keeps answers' writes back while its fsync runs (measured: 1 to 3 in 1,000), so that a
        # kill would lose them now and then; `always` is no safer against a kill, and slow where disks are slow.
        "appendfsync": "no",
    }
    return tuple(word for name, value in settings.items() for word in (f"--{name}", value))


@contextmanager
def connected(instance: Instance, db: int, timeout_s: float = CALL_TIMEOUT_S) -> Iterator[redis.Redis]:
    """A client of one database for the length of one `with`, at the server's own address; it tries nothing twice."""
    address = instance.nodes[Redis.port]
    client = redis.Redis(
        host=address.host, port=address.port, db=db, socket_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _calling(instance: Instance, what: str) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise HarnessBroke(f"{instance.name}: cannot {what}: {error}") from error
