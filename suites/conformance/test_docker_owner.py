"""In a container, the one child that has a connection open is killed, and nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import start
from docker_rig import DockerRig, log_of, rigged, wait_line

from chaosharness.model.address import Address
from chaosharness.model.event import Kind
from chaosharness.ports.launch import Instance, Scope, Signal
from chaosharness.servers.docker.instance import DockerInstance
from chaosharness.servers.docker.launcher import DockerLauncher
from chaosharness.servers.redis import Redis

POOL = """
import os, signal, socket
def connect(what):
    family = socket.AF_INET6 if ":" in os.environ["HOST"] else socket.AF_INET
    held = socket.socket(family)
    held.connect((os.environ["HOST"], int(os.environ["PORT"])))
    host, port = held.getsockname()[:2]
    os.write(1, f"{what} {os.getpid()} {host.removeprefix('::ffff:')} {port}\\n".encode())  # a whole line
    return held
def worker():
    if os.fork() == 0:
        held = connect("worker")
        while True: signal.pause()
MORE
worker(); worker()
while True:
    ended, status = os.wait()
    print("ended", ended, os.waitstatus_to_exitcode(status))
    worker()
"""
LISTENS = """
import socket, time
server = socket.create_server(("0.0.0.0", 4711))
print("up")
kept = []
while True: kept.append(server.accept())
"""


@pytest.fixture(scope="module")
def redis(docker_launcher: DockerLauncher, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """A server, from whose image is looked."""
    return start(docker_launcher, Redis(), tmp_path_factory.mktemp("servers") / "redis")


@pytest.fixture
def rig(docker_launcher: DockerLauncher, redis: Instance, tmp_path: Path) -> Iterator[DockerRig]:
    with rigged(docker_launcher, tmp_path) as found:
        yield found


def pool(rig: DockerRig, more: str = "", mapped: bool = False) -> DockerInstance:
    listener = rig.launch("b", LISTENS, ports={"there": 4711})
    wait_line(listener, "up")
    there = listener.inside["there"]
    host = f"::ffff:{there.host}" if mapped else there.host
    return rig.launch("a", POOL.replace("MORE", more), env={"HOST": host, "PORT": str(there.port)}, restart="always")


def connected(instance: DockerInstance, what: str) -> dict[int, Address]:
    """Process id inside, to its own end of its connection."""
    lines = [re.fullmatch(rf"{what} (\d+) (\S+) (\d+)", line) for line in log_of(instance)]
    return {int(line[1]): Address(line[2], int(line[3])) for line in lines if line}


@pytest.mark.parametrize("mapped", [False, True])
def test_the_owner_alone_is_killed_and_its_supervisor_replaces_it(rig: DockerRig, mapped: bool) -> None:
    instance = pool(rig, mapped=mapped)
    wait_line(instance, "worker", times=2)
    workers = connected(instance, "worker")
    struck, other = sorted(workers)
    evidence = instance.kill_owner(workers[struck])
    assert evidence.ok, evidence
    assert (evidence.facts["pids"], evidence.facts["owners"], evidence.facts["parent"]) == ([struck], [struck], False)
    assert {1, other} <= set(evidence.facts["left"])
    assert struck not in evidence.facts["left"]
    wait_line(instance, f"ended {struck} -9")
    wait_line(instance, "worker", times=3)
    assert not [line for line in log_of(instance) if line.startswith(f"ended {other}")]
    assert instance.exits() == ()
    (signalled,) = rig.events("a", Kind.SIGNALLED)
    assert [signalled.data[key] for key in ("signal", "scope", "pids")] == ["kill", "child", [struck]]


@pytest.mark.parametrize(
    ("more", "owners"),
    [
        ('held = connect("first")\nwhile True: signal.pause()', [1]),
        ('held = connect("first")\nif os.fork() == 0: signal.pause()\nwhile True: signal.pause()', [1, 7]),
    ],
)
def test_a_connection_of_the_first_is_told_and_nothing_is_killed(rig: DockerRig, more: str, owners: list[int]) -> None:
    instance = pool(rig, more)
    wait_line(instance, "first")
    evidence = instance.kill_owner(connected(instance, "first")[1])
    assert not evidence.ok
    assert (len(evidence.facts["owners"]), evidence.facts["parent"]) == (len(owners), True)
    assert ("of the first process of" if len(owners) == 1 else "shared by processes") in evidence.what
    assert instance.alive()
    assert rig.events("a", Kind.SIGNALLED) == []


def test_a_connection_of_nobody_is_told(rig: DockerRig) -> None:
    instance = pool(rig)
    wait_line(instance, "worker", times=2)
    evidence = instance.kill_owner(Address("203.0.113.9", 4711))
    assert not evidence.ok
    assert "no process of a, container" in evidence.what
    assert instance.survivors() == 0


def test_a_kill_of_the_first_is_the_end_of_all(rig: DockerRig) -> None:
    instance = pool(rig)
    wait_line(instance, "worker", times=2)
    assert instance.survivors() == 0
    assert instance.signal(Signal.KILL, Scope.PARENT).ok
    assert not instance.alive()
    assert not instance.kill_owner(Address("203.0.113.9", 4711)).ok
    assert instance.restart().ok
    wait_line(instance, "worker", times=4)
