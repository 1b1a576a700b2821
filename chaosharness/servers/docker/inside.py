"""What goes on inside a container: its connections, its processes.

Goes in: a container. Comes out: addresses, process ids. To try it: `suites/conformance/test_docker_inside.py`.

An image may hold nothing but its program, so nothing of the container's own is run: where its processes are this
machine's, /proc shows them; elsewhere a second container, of an image that has a shell, looks from its namespaces.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import docker.errors

from chaosharness.keeper import sockets
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.servers.docker.ground import Network

TABLES = "cat /proc/net/tcp /proc/net/tcp6"
CHILDREN = """
me=$$
children() { for p in /proc/[0-9]*; do n=${p#/proc/}; s=$(cat $p/stat 2>/dev/null) || continue
  case $n in 1|$me) continue;; esac
  set -- ${s##*) }; [ "$1" = Z ] && continue; [ "$2" = $me ] || [ "$2" = 0 ] || echo $n; done; }
struck=$(children); [ -z "$struck" ] || kill -SIGNAL $struck 2>/dev/null
i=0; while [ SIGNAL = KILL ] && [ $i -lt 1000 ] && [ -n "$(children)" ]; do i=$((i+1)); done
echo "struck" $struck; echo "left" $(children)
"""
"""Processes of the container but its first, and but the onlooker's own: those come from outside, their parent is 0."""


class Look:
    """Onto one network's containers. `toolbox`: the image to look from, named when it is first needed."""

    def __init__(self, client: Any, network: Network, create: Callable[..., Any], toolbox: Callable[[], str]) -> None:
        self.client = client
        self._network = network
        self._create = create
        self._toolbox = toolbox

    def address(self, container: Any) -> str:
        """Its own, on the network."""
        container.reload()
        found: str = container.attrs["NetworkSettings"]["Networks"][self._network.name]["IPAddress"]
        return found

    def remotes(self, container: Any) -> tuple[Address, ...]:
        """Remote ends of the connections that it opened, sorted; empty for one that has ended."""
        container.reload()
        pid = container.attrs["State"]["Pid"]
        if not pid:
            return ()
        if _is_ours(pid, container.id):
            return sockets.remotes_in_namespace(pid)
        text = self._run(container, TABLES)
        return sockets.opened(line.split() for line in text.splitlines() if ":" in line)

    def signal_children(self, container: Any, signal: str) -> tuple[list[int], list[int]]:
        """Sends it to all but the first process. Process ids inside: those struck, and those left afterwards."""
        text = self._run(container, CHILDREN.replace("SIGNAL", signal))
        found = {line.split()[0]: [int(pid) for pid in line.split()[1:]] for line in text.splitlines() if line}
        return found.get("struck", []), found.get("left", [])

    def _run(self, container: Any, script: str) -> str:
        """What a shell says that shares the container's network and processes. Raises HarnessBroke."""
        namespaces = f"container:{container.id}"
        onlooker = self._create(
            self._toolbox(),
            f"look-{os.urandom(4).hex()}",
            entrypoint=["/bin/sh", "-c"],
            command=[script],
            network=namespaces,
            pid_mode=namespaces,
            user="0",
        )
        try:
            onlooker.start()
            code = int(onlooker.wait()["StatusCode"])
            said: str = onlooker.logs().decode("utf-8", "replace")
        except docker.errors.APIError as refused:
            raise HarnessBroke(f"cannot look into container {container.short_id}: {refused}") from refused
        finally:
            onlooker.remove(v=True, force=True)
        if code:
            raise HarnessBroke(f"cannot look into container {container.short_id}: exit code {code}: {said[-500:]}")
        return said


def _is_ours(pid: int, container: str) -> bool:
    """Whether the engine's process id is a process of this machine, of that very container."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as groups:
            return container in groups.read()
    except OSError:
        return False
