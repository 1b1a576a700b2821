"""What goes on inside a container: its connections, its processes.

Goes in: a container. Comes out: addresses, process ids. To try it: `suites/conformance/test_docker_inside.py`.

An image may hold nothing but its program, so nothing of the container's own is run: where its processes are this
machine's, /proc shows them; elsewhere, and for signals, a second container, of an image that has a shell, shares its
namespaces.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker.errors

from chaosharness.keeper import sockets
from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke, TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.ground import Network

TABLES = "cat /proc/net/tcp; cat /proc/net/tcp6 2>/dev/null; true"
FIND_CHILDREN = """
children=
for p in /proc/[0-9]*; do
  n=${p#/proc/}
  s=$(cat $p/stat 2>/dev/null) || continue
  set -- ${s##*) }
  case $n in 1|$$) continue;; esac
  case $1 in Z|X) continue;; esac
  case $2 in 0|$$) continue;; esac
  children="$children $n"
done
"""
"""The processes of a container but its first, and but those that came from outside: their parent is 0."""
STRIKE = """
echo struck $struck
[ -z "$struck" ] || kill -SIGNAL $struck 2>/dev/null
"""
CHILDREN = f"{FIND_CHILDREN}struck=$children{STRIKE}"
FIND_OWNERS = """
inode=
for t in /proc/net/tcp /proc/net/tcp6; do
  [ -r $t ] || continue
  while read -r n local remote state q tr rt uid to i rest; do
    case $state:$local in 01:PLAIN|01:MAPPED) inode=$i;; esac
  done < $t
done
owners=
[ -z "$inode" ] || for p in /proc/[0-9]*; do
  case $(ls -l $p/fd 2>/dev/null) in *"socket:[$inode]"*) owners="$owners ${p#/proc/}";; esac
done
echo owners $owners
echo inode $inode
"""
"""Who has the established connection open whose own end is at the address, as the tables of both versions write it."""
LOOK = """
i=0
while
  left=
  for n in $struck; do
    s=$(cat /proc/$n/stat 2>/dev/null) || s=") X"
    set -- ${s##*) }
    case $1 in WANTED|X) ;; *) left="$left $n";; esac
  done
  [ -n "$left" ] && [ $i -lt 100 ]
do i=$((i+1)); sleep 0.02; done
echo left $left
"""
"""Until all are in a state that is wanted, or 2 s and more have passed."""
WANTED = {"KILL": "Z", "TERM": "*", "STOP": "T|t|Z", "CONT": "[!Tt]"}

ENDED_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Struck:
    """Process ids inside."""

    pids: tuple[int, ...]
    left: tuple[int, ...]
    """Those on which the signal had no effect."""
    living: tuple[int, ...] = ()
    """All that live afterwards, where it was looked for."""


class Look:
    """Onto one network's containers."""

    def __init__(
        self, client: Any, network: Network, create: Callable[..., Any], toolbox: Callable[[], str], local: bool
    ) -> None:
        """`toolbox`: the image to look from, named when it is first needed; `local`: the engine may be this host's."""
        self.client = client
        self._network = network
        self._create = create
        self._toolbox = toolbox
        self._local = local

    def address(self, container: Any) -> str:
        """Its own, on the network."""
        container.reload()
        found: str = container.attrs["NetworkSettings"]["Networks"][self._network.name]["IPAddress"]
        return found

    def remotes(self, container: Any) -> tuple[Address, ...]:
        """Remote ends of the connections that it opened, sorted; empty for one that has ended. Raises HarnessBroke."""
        pid = _pid(container)
        if not pid:
            return ()
        if self._local and _is_ours(pid, container.id):
            return sockets.remotes_in_namespace(pid)
        text = self._run(container, TABLES)
        return sockets.opened(line.split() for line in text.splitlines() if ":" in line)

    def signal_children(self, container: Any, signal: str) -> Struck:
        """Sends it to all but the first process, and looks. Raises HarnessBroke."""
        return self._struck(container, CHILDREN, signal)

    def owners(self, container: Any, local: Address) -> tuple[int, ...]:
        """Which processes have the established connection open whose own end is `local`. Raises HarnessBroke."""
        plain, mapped = sockets.format_address(local), sockets.format_address(local, mapped=True)
        said = self._said(container, FIND_OWNERS.replace("PLAIN", plain).replace("MAPPED", mapped))
        if said.get("inode") and not said["owners"]:
            raise HarnessBroke(f"cannot see which process of container {container.short_id} has the connection {local}")
        return said.get("owners", ())

    def kill(self, container: Any, pid: int) -> Struck:
        """SIGKILL to one process, not the first, and a look at what is left. Raises HarnessBroke."""
        return self._struck(container, f"struck={pid}{STRIKE}", "KILL", f"{FIND_CHILDREN}echo living 1 $children")

    def look_at_first(self, container: Any, signal: str) -> Struck:
        """What a signal to the first process has come to: from inside none can be sent to it. Raises HarnessBroke."""
        return self._struck(container, "struck=1; echo struck $struck", signal)

    def _struck(self, container: Any, script: str, signal: str, then: str = "") -> Struck:
        script = script.replace("SIGNAL", signal) + LOOK.replace("WANTED", WANTED[signal]) + then
        said = self._said(container, script)
        return Struck(said.get("struck", ()), said.get("left", ()), said.get("living", ()))

    def _said(self, container: Any, script: str) -> dict[str, tuple[int, ...]]:
        """Lines of a word and numbers, by their word."""
        lines = map(str.split, filter(None, self._run(container, script).splitlines()))
        return {word: tuple(map(int, numbers)) for word, *numbers in lines}

    def _run(self, container: Any, script: str) -> str:
        """What a shell says that shares the container's network and processes; if these end, what it said until then.

        Raises HarnessBroke.
        """
        namespaces = f"container:{container.id}"
        pid = _pid(container)
        onlooker = self._create(
            self._toolbox(),
            f"look-{os.urandom(4).hex()}",
            entrypoint=["/bin/sh", "-c"],
            command=[script],
            network=namespaces,
            pid_mode=namespaces,
            user="0",
            cap_add=["SYS_PTRACE"],  # to see what a process of another user has open
            log_config={"Type": "json-file"},  # the engine's default may be one that cannot be read back
        )
        try:
            onlooker.start()
            code = int(onlooker.wait()["StatusCode"])
            said: str = onlooker.logs(stderr=False).decode("utf-8", "replace")
            why = f"exit code {code}: {onlooker.logs(stdout=False).decode('utf-8', 'replace')}" if code else ""
        except docker.errors.APIError as refused:
            said, why = "", str(refused.explanation or refused)
        finally:
            onlooker.remove(v=True, force=True)
        if why and not _has_ended(container, pid):
            raise HarnessBroke(f"cannot look into container {container.short_id}: {why}")
        return said


def _pid(container: Any) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def _has_ended(container: Any, pid: int) -> bool:
    """Whether the incarnation with this process id has ended, which the engine may hear of a little later."""
    try:
        wait_for("the container to have ended", ENDED_WITHIN_S, lambda: _pid(container) != pid)
    except TimedOut:
        return False
    return True


def _is_ours(pid: int, container: str) -> bool:
    """Whether the engine's process id is a process of this machine, of that very container, which may be looked at."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as groups, open(f"/proc/{pid}/net/tcp", "rb") as table:
            return container in groups.read() and bool(table.read(1))
    except OSError:
        return False
