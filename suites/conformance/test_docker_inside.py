"""What goes on inside a container: connections, by /proc and by a second container; children, struck and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import start
from docker_rig import DockerRig, log_of, rigged, until, wait_line

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Instance, Scope, Signal
from chaosharness.servers.docker.inside import Look
from chaosharness.servers.docker.instance import DockerInstance
from chaosharness.servers.docker.launcher import DockerLauncher
from chaosharness.servers.redis import Redis

CONNECTS = """
import os, signal, socket
if os.fork() == 0:
    os.setsid()
    family = socket.AF_INET6 if ":" in os.environ["HOST"] else socket.AF_INET
    with socket.socket(family) as client:
        client.setblocking(False)
        client.connect_ex((os.environ["HOST"], int(os.environ["PORT"])))
        print("connecting")
        while True: signal.pause()
while True: signal.pause()
"""
LISTENS = """
import signal, socket
server = socket.create_server(("0.0.0.0", 4711))
print("up")
kept = server.accept()
print("accepted")
while True: signal.pause()
"""
POOL = """
import os, signal, sys
def worker():
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0:
            print("worker", os.getpid())
            while True: signal.pause()
        while True: signal.pause()
    return pid
first = worker()
while True:
    try:
        ended, status = os.wait()
    except ChildProcessError:
        signal.pause()
        continue
    print("ended", ended, os.waitstatus_to_exitcode(status))
    if REPLACES and ended == first: worker()
"""
"""A first process, a child, a grandchild; what ends may be replaced."""
ENDS_WITH_ITS_CHILD = """
import os, signal
if os.fork() == 0:
    print("worker")
    while True: signal.pause()
os.wait()
"""


@pytest.fixture(scope="module")
def redis(docker_launcher: DockerLauncher, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return start(docker_launcher, Redis(), tmp_path_factory.mktemp("servers") / "redis")


@pytest.fixture
def rig(docker_launcher: DockerLauncher, redis: Instance, tmp_path: Path) -> Iterator[DockerRig]:
    with rigged(docker_launcher, tmp_path) as found:
        yield found


@pytest.fixture(params=["by /proc", "by a second container"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def remotes(rig: DockerRig, instance: DockerInstance, way: str) -> tuple[Address, ...]:
    if way == "by /proc":
        return instance.remotes()
    ground, near = rig.launcher.ground, instance._look
    elsewhere = Look(ground.client, ground.links, ground.create, near._toolbox, local=False)
    return elsewhere.remotes(instance.container)


def connects(rig: DockerRig, to: Address, name: str = "a") -> DockerInstance:
    instance = rig.launch(name, CONNECTS, env={"HOST": to.host, "PORT": str(to.port)})
    wait_line(instance, "connecting")
    return instance


# connections


def test_a_connection_of_a_descendant_is_seen(rig: DockerRig, way: str) -> None:
    listener = rig.launch("b", LISTENS, ports={"there": 4711})
    wait_line(listener, "up")
    there = listener.inside["there"]
    instance = connects(rig, there)
    wait_line(listener, "accepted")
    assert remotes(rig, instance, way) == (there,)
    assert remotes(rig, listener, way) == ()  # what others opened to it is not its own


def test_a_mapped_address_is_told_as_version_4(rig: DockerRig, way: str) -> None:
    gateway = rig.launcher.ground.links.gateway
    listener = rig.launch("b", LISTENS, ports={"there": 4711})
    wait_line(listener, "up")
    instance = connects(rig, Address(f"::ffff:{listener.nodes['there'].host}", listener.nodes["there"].port))
    assert remotes(rig, instance, way) == (Address(gateway, listener.nodes["there"].port),)


def test_a_server_cannot_be_reached_and_who_tries_is_seen(rig: DockerRig, redis: Instance, way: str) -> None:
    """The two networks are kept apart: what is sent is dropped, so that the attempt stands for two minutes."""
    for name, there in {"a": redis.inside["redis"], "b": redis.nodes["redis"]}.items():
        instance = connects(rig, there, name)
        assert remotes(rig, instance, way) == (there,)


def test_one_that_has_ended_has_no_connections(rig: DockerRig, way: str) -> None:
    instance = rig.launch("a", "")
    until("its end", lambda: not instance.alive())
    assert remotes(rig, instance, way) == ()


def test_one_that_is_frozen_can_be_looked_at(rig: DockerRig, redis: Instance, way: str) -> None:
    instance = connects(rig, redis.inside["redis"])
    assert instance.signal(Signal.FREEZE).ok
    assert remotes(rig, instance, way) == (redis.inside["redis"],)


def test_onlookers_are_gone_when_they_have_looked(rig: DockerRig) -> None:
    instance = rig.launch("a", LISTENS)
    wait_line(instance, "up")
    remotes(rig, instance, "by a second container")
    assert rig.ids() == [instance.container.id]


def test_an_onlooker_that_cannot_look_says_why(rig: DockerRig) -> None:
    instance = rig.launch("a", LISTENS)
    wait_line(instance, "up")
    with pytest.raises(
        HarnessBroke, match=rf"cannot look into container {instance.container.short_id}: exit code 3: so"
    ):
        instance._look._run(instance.container, "echo something >&2; exit 3")


# children


@pytest.mark.parametrize("replaces", [False, True])
def test_a_kill_of_the_children_spares_the_first_and_those_that_it_starts(rig: DockerRig, replaces: bool) -> None:
    instance = rig.launch("a", POOL.replace("REPLACES", str(replaces)))
    wait_line(instance, "worker")
    evidence = instance.signal(Signal.KILL, Scope.CHILD)
    assert evidence.ok, evidence
    struck = evidence.facts["pids"]
    assert len(struck) == 2
    assert evidence.what == f"SIGKILL to children in container {instance.container.short_id}: {struck}"
    wait_line(instance, f"ended {min(struck)} -9")
    if replaces:
        wait_line(instance, "worker", times=2)
    assert instance.alive()
    (signalled,) = rig.events("a", Kind.SIGNALLED)
    assert (signalled.data["signal"], signalled.data["scope"]) == ("kill", "child")


def test_without_children_there_is_nobody_to_strike(rig: DockerRig) -> None:
    instance = rig.launch("a", LISTENS)
    wait_line(instance, "up")
    evidence = instance.signal(Signal.KILL, Scope.CHILD)
    assert not evidence.ok
    assert evidence.what.endswith(": there are none")


def test_the_end_of_a_child_may_be_the_end_of_all(rig: DockerRig) -> None:
    """And of the onlooker, which shares the container's processes."""
    instance = rig.launch("a", ENDS_WITH_ITS_CHILD, restart="always")
    wait_line(instance, "worker")
    for lives in range(2, 5):
        assert instance.signal(Signal.KILL, Scope.CHILD).ok
        wait_line(instance, "worker", times=lives)
    assert instance.exits()[:3] == (0, 0, 0)


def test_children_are_frozen_and_thawed(rig: DockerRig) -> None:
    instance = rig.launch("a", POOL.replace("REPLACES", "False"))
    wait_line(instance, "worker")
    frozen = instance.signal(Signal.FREEZE, Scope.CHILD)
    assert frozen.ok, frozen
    again = instance._look.look_at_first(instance.container, "CONT")
    assert not again.left  # the first goes on
    thawed = instance.signal(Signal.THAW, Scope.CHILD)
    assert thawed.ok
    assert thawed.facts["pids"] == frozen.facts["pids"]


def test_the_first_alone_is_frozen_and_thawed(rig: DockerRig) -> None:
    instance = rig.launch("a", POOL.replace("REPLACES", "False"))
    wait_line(instance, "worker")
    assert instance.signal(Signal.FREEZE, Scope.PARENT).ok
    assert instance._look.look_at_first(instance.container, "CONT").left == (1,)
    assert instance.signal(Signal.KILL, Scope.CHILD).ok
    assert not [line for line in log_of(instance) if line.startswith("ended")]
    assert instance.signal(Signal.THAW, Scope.PARENT).ok
    wait_line(instance, "ended")
