"""Toxiproxy: the server in which every link's proxy lives; links/ speaks to it.

In: a launcher and a folder. Out: an instance whose node `api` answers Toxiproxy's HTTP API; nothing is leased from it,
as links are made one by one. Its program: what CHAOSHARNESS_TOXIPROXY names, else `toxiproxy-server` on PATH, else the
one in the `bin` of a cache folder. To try it: `suites/conformance/test_servers_toxiproxy.py`.
"""

from __future__ import annotations

import mmap
import os
import re
import subprocess
from pathlib import Path

import requests

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke, ServerFailed
from chaosharness.ports.launch import Availability, ContainerRecipe, Instance, Launcher, Namespace, Recipe
from chaosharness.servers.availability import TAIL_LINES, find_program, is_program, program_of, wait_until_ready
from chaosharness.servers.logs import tail

PROGRAM = "CHAOSHARNESS_TOXIPROXY"
"""Environment: the program to run, whatever else is installed."""
OLDEST = (2, 5)
REMEDY = 'GOBIN="$PWD/.cache/bin" go install github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0'
BUILD_INFO = re.compile(rb"\tgithub\.com/Shopify/toxiproxy/v2\tv(\d+\.\d+\.\d+)")
PRINTED = re.compile(r"toxiproxy-server version (\S+)")
CANNOT_LISTEN = b"Server finished with error"
"""It does not end then, and whoever has its port may answer in its place."""
LOOK_TIMEOUT_S = 2.0
INSIDE = 8474
"""The API's port in a container."""
FEWEST_LINKS = 16
"""Each published port costs Docker a process and some 30 ms."""
LINK = "link."
"""Nodes that are ports for links: `link.0`, `link.1`, …"""


class Toxiproxy:
    """The proxy server. As a process it listens on 127.0.0.1 alone, and links at any free port of it; as a container it
    has, beside its API, `links` published ports for them."""

    name = "toxiproxy"
    port = "api"
    image = "ghcr.io/shopify/toxiproxy:2.12.0"

    def __init__(self, links: int = FEWEST_LINKS) -> None:
        self.links = links

    def available(self) -> Availability:
        """Looks for the program and asks it for its version; starts no server."""
        named = os.environ.get(PROGRAM)
        if named and not is_program(Path(named)):
            return self._missing(f"{PROGRAM} names {named}, which is no program")
        # `go install` names a program after its folder: cmd/server becomes `server`.
        program = Path(named) if named else find_program("toxiproxy-server", ("toxiproxy-server", "server"))
        if program is None:
            return self._missing("no toxiproxy-server on PATH, nor in the bin of a .cache folder")
        version = _version(program)
        if version is None:
            return self._missing(f"{program} does not answer -version as Toxiproxy does")
        if _older(version):
            return self._missing(f"{program} is {version}; {'.'.join(map(str, OLDEST))} or newer is needed")
        return Availability(self.name, True, version, str(program))

    def start(self, launcher: Launcher, folder: Path, image: str | None = None) -> Instance:
        """Starts it in `folder`, whose name becomes the instance's. Raises MissingServer, BadInput, ServerFailed."""
        folder.mkdir(parents=True, exist_ok=True)
        instance = launcher.launch(self._container(folder, image) if image else self._process(launcher, folder))
        self.wait_ready(instance)
        return instance

    def version(self, instance: Instance) -> str:
        """As its API tells it; `git` for a build that does not know its own. Raises HarnessBroke."""
        try:
            answer = requests.get(f"http://{instance.nodes[self.port]}/version", timeout=LOOK_TIMEOUT_S)
            return str(answer.json()["version"])
        except (requests.RequestException, ValueError, KeyError) as error:
            raise HarnessBroke(f"{instance.name}: cannot tell its version: {error}") from error

    def _process(self, launcher: Launcher, folder: Path) -> Recipe:
        program = program_of(self.available(), "Toxiproxy")
        api = Address("127.0.0.1", launcher.free_port())
        return Recipe(
            name=folder.name,
            argv=(program, "-host", api.host, "-port", str(api.port)),
            env={"LOG_LEVEL": "info"},
            folder=folder,
            log=folder / "toxiproxy.log",
            nodes={self.port: api},
        )

    def _container(self, folder: Path, image: str) -> ContainerRecipe:
        links = {f"{LINK}{number}": None for number in range(self.links)}
        return ContainerRecipe(
            name=folder.name,
            image=image,
            command=("-host=0.0.0.0", f"-port={INSIDE}"),
            env={"LOG_LEVEL": "info"},
            log=folder / "toxiproxy.log",
            ports={self.port: INSIDE, **links},
            service=True,  # on the network of those who use links
        )

    def wait_ready(self, instance: Instance) -> None:
        """Returns when /version answers. Raises ServerFailed, with the log's tail where it ended or cannot listen."""
        with requests.Session() as session:
            session.trust_env = False

            def answers() -> bool:
                if instance.log.exists() and CANNOT_LISTEN in instance.log.read_bytes():
                    raise ServerFailed(f"{instance.name} cannot listen; {tail(instance.log, TAIL_LINES)}")
                try:
                    answer = session.get(f"http://{instance.nodes[self.port]}/version", timeout=LOOK_TIMEOUT_S)
                except requests.RequestException:
                    return False
                if answer.status_code != 200 or '"version"' not in answer.text:
                    raise ServerFailed(
                        f"{instance.name}: /version answered {answer.status_code} {answer.text[:200]!r}: no Toxiproxy"
                    )
                return True

            wait_until_ready(instance, answers)

    def lease(self, instance: Instance, name: str) -> Namespace:
        """Nothing to set apart: each link has a name of its own."""
        return Namespace(name)

    def release(self, instance: Instance, namespace: Namespace) -> None:
        """Nothing to give back: who makes a link removes it."""

    def _missing(self, how: str) -> Availability:
        return Availability(self.name, False, None, how, REMEDY)


def _version(program: Path) -> str | None:
    """`2.12.0`; `git` for a build that does not know its own; None for a program that is no Toxiproxy."""
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=LOOK_TIMEOUT_S, env={})
    except (OSError, subprocess.TimeoutExpired):
        return None
    printed = PRINTED.search(answer.stdout)
    if printed is None:
        return None
    if printed[1] != "git":
        return printed[1]
    # `go install` leaves the version out of the program's own answer; the toolchain's build information has it.
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        built = BUILD_INFO.search(data)
        return built[1].decode() if built else printed[1]


def _older(version: str) -> bool:
    """Whether it is known to be too old; an unknown version is not held against it."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers[1]), int(numbers[2])) < OLDEST
