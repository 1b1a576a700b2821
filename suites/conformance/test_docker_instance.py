"""Containers through their lives: signals with evidence, restarts, stops, and what the ledger has of each."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from backends import start
from docker.utils.proxy import ProxyConfig
from docker_rig import WITHIN_S, DockerRig, log_of, rigged, until, wait_line

from chaosharness.keeper.instance import pause_s
from chaosharness.model.errors import BadInput
from chaosharness.model.event import Event, Kind
from chaosharness.ports.launch import Scope, Signal
from chaosharness.servers.docker.instance import DockerInstance
from chaosharness.servers.docker.launcher import DockerLauncher
from chaosharness.servers.redis import Redis

OBEYS = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("up")
while True: signal.pause()
"""
DEAF = """
import signal
print("up")
while True: signal.pause()
"""
"""The first process of a container gets no signal that it does not ask for."""
COUNTS = """
import pathlib, signal
file = pathlib.Path("/tmp/lives")
lives = int(file.read_text()) + 1 if file.exists() else 1
file.write_text(str(lives))
print("life", lives)
while True: signal.pause()
"""
ECHOES = """
import os, socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(1000): self.request.sendall(data)
with socketserver.ThreadingTCPServer(("0.0.0.0", int(os.environ["PORT"])), Echo) as server:
    print("up")
    server.serve_forever()
"""


@pytest.fixture
def rig(docker_launcher: DockerLauncher, tmp_path: Path) -> Iterator[DockerRig]:
    with rigged(docker_launcher, tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def _toolbox(docker_launcher: DockerLauncher, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A server, from whose image is looked."""
    start(docker_launcher, Redis(), tmp_path_factory.mktemp("servers") / "redis")


def story(events: list[Event]) -> list[str]:
    """`started 1`, `kill tree`, `exited 137 asked`."""
    words = []
    for event in events:
        data = event.data
        match event.kind:
            case Kind.STARTED:
                words.append(f"started {data['incarnation']}")
            case Kind.SIGNALLED:
                words.append(f"{data['signal']} {data['scope']}")
            case _:
                words.append(f"exited {data['code']} {'asked' if data['asked'] else 'unasked'}")
    return words


def speak(instance: DockerInstance, timeout_s: float = 10) -> bytes:
    address = instance.nodes["echo"]
    with socket.create_connection((address.host, address.port), timeout_s) as connection:
        connection.sendall(b"hello")
        return connection.recv(5)


# what it is given


def test_its_output_is_in_its_log_and_its_life_in_the_ledger(rig: DockerRig) -> None:
    instance = rig.launch("a", "import sys; print('to you'); print('to err', file=sys.stderr); sys.exit(7)")
    until("its end", lambda: not instance.alive())
    assert sorted(log_of(instance)) == ["to err", "to you"]
    assert instance.exits() == (7,)
    assert story(rig.events("a")) == ["started 1", "exited 7 unasked"]
    (started,) = rig.events("a", Kind.STARTED)
    assert started.data["container"] == instance.container.short_id


def test_its_environment_is_its_images_and_what_was_said(rig: DockerRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this process's environment, and this user's settings of Docker, have."""
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setattr(rig.launcher.ground.client.api, "_proxy_configs", ProxyConfig(http="http://127.0.0.1:9"))
    script = "import os, socket; print(socket.gethostname(), os.getcwd(), *sorted(os.environ))"
    instance = rig.launch("a", script, env={"BROKER": "b"}, hostname="payment-0", workdir="/srv/services")
    until("its end", lambda: not instance.alive())
    assert log_of(instance) == ["payment-0 /srv/services BROKER HOME HOSTNAME LANG PATH"]


def test_ports_are_published(rig: DockerRig) -> None:
    instance = rig.launch("a", ECHOES, ports={"echo": 4711, "same": None}, env={"PORT": "4711"})
    wait_line(instance, "up")
    assert speak(instance) == b"hello"
    assert instance.inside["echo"].port == 4711
    assert instance.inside["same"].port == instance.nodes["same"].port


# what it is told


def test_a_kill_is_seen_and_it_stays_down_until_it_is_restarted(rig: DockerRig) -> None:
    instance = rig.launch("a", COUNTS, restart="always", ports={"echo": 4711})
    wait_line(instance, "life 1")
    evidence = instance.signal(Signal.KILL)
    assert evidence.ok
    assert evidence.what.startswith(f"SIGKILL to container {instance.container.short_id}; gone, exit code 137, after ")
    assert not instance.alive()
    assert instance.exits() == ()
    address, container = instance.nodes["echo"], instance.container.id
    restarted = instance.restart()
    assert restarted.ok, restarted
    assert restarted.what == f"a started: container {instance.container.short_id}, incarnation 2"
    wait_line(instance, "life 2")  # what it had written is there
    assert (instance.nodes["echo"], instance.container.id) == (address, container)
    assert not instance.restart().ok  # it is up
    assert story(rig.events("a")) == ["started 1", "kill tree", "exited 137 asked", "started 2"]


def test_without_its_data_it_is_a_new_container(rig: DockerRig) -> None:
    instance = rig.launch("a", COUNTS, ports={"echo": 4711})
    wait_line(instance, "life 1")
    before = instance.container.id
    assert instance.signal(Signal.KILL).ok
    assert instance.restart(keep_data=False).ok
    wait_line(instance, "life 1", times=2)
    assert instance.container.id != before
    until("the one before to be removed", lambda: before not in rig.ids())


def test_one_that_is_down_cannot_be_killed(rig: DockerRig) -> None:
    instance = rig.launch("a", "")
    until("its end", lambda: not instance.alive())
    evidence = instance.signal(Signal.KILL)
    assert (evidence.ok, evidence.what) == (False, "a was not running: nothing to kill")


def test_frozen_it_answers_nobody_and_thawed_it_does(rig: DockerRig) -> None:
    instance = rig.launch("a", ECHOES, ports={"echo": 4711}, env={"PORT": "4711"})
    wait_line(instance, "up")
    frozen = instance.signal(Signal.FREEZE)
    assert (frozen.ok, frozen.what) == (True, f"container {instance.container.short_id} is frozen")
    assert instance.alive()
    with pytest.raises(TimeoutError):
        speak(instance, 0.5)
    assert instance.signal(Signal.THAW).ok
    assert speak(instance) == b"hello"
    assert story(rig.events("a")) == ["started 1", "freeze tree", "thaw tree"]


@pytest.mark.usefixtures("_toolbox")
@pytest.mark.parametrize("scope", [Scope.TREE, Scope.PARENT])
def test_a_frozen_one_dies_and_lives_again(rig: DockerRig, scope: Scope) -> None:
    instance = rig.launch("a", COUNTS)
    wait_line(instance, "life 1")
    assert instance.signal(Signal.FREEZE, scope).ok
    assert instance.signal(Signal.KILL).ok
    assert instance.restart().ok
    wait_line(instance, "life 2")


def test_a_frozen_one_is_stopped_by_its_own_handler(rig: DockerRig) -> None:
    instance = rig.launch("a", OBEYS)
    wait_line(instance, "up")
    assert instance.signal(Signal.FREEZE).ok
    assert instance.stop(20).facts["codes"] == [3]


def test_a_term_is_its_own_affair(rig: DockerRig) -> None:
    instance = rig.launch("a", OBEYS, restart="always")
    wait_line(instance, "up")
    evidence = instance.signal(Signal.TERM)
    assert (evidence.ok, evidence.what) == (True, f"SIGTERM to container {instance.container.short_id}")
    until("its end", lambda: not instance.alive())
    assert story(rig.events("a")) == ["started 1", "term tree", "exited 3 asked"]


def test_a_stop_that_is_obeyed(rig: DockerRig) -> None:
    instance = rig.launch("a", OBEYS, restart="always")
    wait_line(instance, "up")
    evidence = instance.stop(20)
    assert evidence.ok
    assert (evidence.facts["codes"], evidence.facts["forced"]) == ([3], False)
    assert f"container {instance.container.short_id} gone" in evidence.what
    until("its container to be removed", lambda: instance.container.id not in rig.ids())
    assert instance.stop(20).what == "a was not running"
    assert not instance.restart().ok
    assert story(rig.events("a")) == ["started 1", "term parent", "exited 3 asked"]


def test_a_stop_that_is_not_obeyed_ends_with_its_grace(rig: DockerRig) -> None:
    instance = rig.launch("a", DEAF)
    wait_line(instance, "up")
    evidence = instance.stop(0.2)
    assert (evidence.ok, evidence.facts["codes"], evidence.facts["forced"]) == (True, [137], True)
    assert story(rig.events("a")) == ["started 1", "term parent", "kill tree", "exited 137 asked"]


def test_a_stop_is_obeyed_by_one_that_is_just_starting(rig: DockerRig) -> None:
    """Before it handles the signal, the kernel throws that away."""
    instance = rig.launch("a", "import signal; signal.sigtimedwait([], 1.2)" + OBEYS)
    assert instance.stop(20).facts["codes"] == [3]


def test_an_image_may_have_a_stop_signal_of_its_own(rig: DockerRig) -> None:
    """The image of a Redis has none, so that one is made for it: the container's own setting is what is looked at."""
    instance = rig.launch("a", OBEYS.replace("SIGTERM", "SIGUSR1"))
    wait_line(instance, "up")
    instance.container.attrs["Config"]["StopSignal"] = "SIGUSR1"
    assert instance.stop(20).facts["codes"] == [3]


# what a supervisor does


def test_it_is_started_again_with_growing_pauses(rig: DockerRig) -> None:
    instance = rig.launch("a", COUNTS.replace("while True", "raise SystemExit(9)\nwhile True"), restart="always")
    until("four ends", lambda: len(instance.exits()) >= 4)
    instance.stop(0)
    assert set(instance.exits()) == {9}
    assert "life 4" in log_of(instance)  # on the same data
    events = rig.events("a", Kind.STARTED, Kind.EXITED)
    assert [event.kind for event in events] == [Kind.STARTED, Kind.EXITED] * (len(events) // 2)
    ends = [event.at_ns for event in events if event.kind is Kind.EXITED]
    starts = [event.at_ns for event in events if event.kind is Kind.STARTED][1:]
    pauses_s = [(start - end) / 1e9 for end, start in zip(ends, starts, strict=False)]
    assert all(waited >= pause_s(repeats) for repeats, waited in enumerate(pauses_s))


def test_never_means_never(rig: DockerRig) -> None:
    instance = rig.launch("a", "raise SystemExit(9)")
    until("its end", lambda: not instance.alive())
    assert instance.exits() == (9,)
    until("nobody to watch", lambda: "watch of a" not in rig.threads())


@pytest.mark.parametrize("lives", range(4))
def test_a_stop_comes_in_time_whatever_the_supervisor_does(rig: DockerRig, lives: int) -> None:
    """In a pause, in the middle of a start, just after it: nothing runs when the stop has returned, nor later."""
    instance = rig.launch("a", "raise SystemExit(9)", restart="always")
    until("some ends", lambda: len(instance.exits()) >= lives)
    instance.stop(0)
    assert not instance.alive()
    until("its container to be removed", lambda: instance.container.id not in rig.ids())
    until("its supervisor to be gone", lambda: "watch of a" not in rig.threads())
    assert story(rig.events("a"))[-1].startswith("exited ")


def test_a_start_by_policy_that_has_begun_to_wait_for_its_turn_is_called_off(rig: DockerRig) -> None:
    instance = rig.launch("a", "raise SystemExit(9)", restart="always")
    with instance._turn:
        until("its end", lambda: not instance.alive())
        rig.ids()  # takes longer than its watch takes to come to the lock
        instance.stop(0)
    until("its supervisor to be gone", lambda: "watch of a" not in rig.threads())
    assert story(rig.events("a"))[-1] == "exited 9 unasked"
    assert not instance.alive()


# names, numbers, what is left


def test_its_name_can_be_launched_again_at_once(rig: DockerRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the engine takes to remove the one before."""
    removed, removals = threading.Event(), rig.launcher.ground._remove

    def remove(container: Any) -> None:
        removed.wait(WITHIN_S)
        removals(container)

    monkeypatch.setattr(rig.launcher.ground, "_remove", remove)
    try:
        for lives in range(1, 4):
            instance = rig.launch("a", DEAF)
            wait_line(instance, "up", times=lives)
            instance.stop(0)
        assert len(rig.ids()) == 3
    finally:
        removed.set()


def test_many_are_stopped_at_once(rig: DockerRig) -> None:
    grace_s = 2.0
    with ThreadPoolExecutor(max_workers=6) as pool:
        instances = list(pool.map(lambda number: rig.launch(f"a{number}", DEAF), range(6)))
        for instance in instances:
            wait_line(instance, "up")
        began = time.monotonic()
        assert all(pool.map(lambda instance: instance.stop(grace_s).ok, instances))
        assert time.monotonic() - began < 5 * grace_s  # one after the other: 6 and more
    until("their containers to be removed", lambda: not {one.container.id for one in instances} & set(rig.ids()))


def test_no_descriptor_is_left(rig: DockerRig) -> None:
    def once() -> None:
        reader, writer = os.pipe()
        instance = rig.launch("a", DEAF, stdio=(reader, writer))
        os.close(reader)
        os.close(writer)
        instance.signal(Signal.KILL)
        instance.restart()
        instance.stop(0)

    once()
    before, threads = len(os.listdir("/proc/self/fd")), rig.threads()
    for _ in range(4):
        once()
    until("threads to end", lambda: not rig.threads() - threads)
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # connections that the engine's client keeps for later


# what cannot be


def test_a_command_that_is_not_in_the_image(rig: DockerRig) -> None:
    with pytest.raises(
        BadInput, match=r"a: chaosharness/service:debian12 cannot run no-such-program --fast: .*not found"
    ):
        rig.launch("a", "", command=("no-such-program", "--fast"))
    until("its container to be removed", lambda: not rig.ids())


def test_a_folder_that_cannot_be_one(rig: DockerRig) -> None:
    with pytest.raises(BadInput, match=r"a: chaosharness/service:debian12 cannot run python3 .*: .*not a directory"):
        rig.launch("a", "", workdir="/etc/passwd")


def test_a_network_that_is_not_there(rig: DockerRig) -> None:
    with pytest.raises(BadInput, match=r"a: its network 'no-such-network' cannot be joined: .*not found"):
        rig.launch("a", "", network="no-such-network")
    until("its container to be removed", lambda: not rig.ids())


def test_a_network_of_the_users_is_joined(rig: DockerRig) -> None:
    client = rig.launcher.ground.client
    network = client.networks.create(f"users-own-{rig.launcher.ground.session}", driver="bridge")
    try:
        instance = rig.launch("a", DEAF, network=network.name)
        instance.container.reload()
        joined = instance.container.attrs["NetworkSettings"]["Networks"]
        assert set(joined) == {network.name, rig.launcher.ground.links.name}
        instance.stop(0)
        until("its container to be removed", lambda: not rig.ids())
    finally:
        network.remove()


def test_an_image_that_is_not_to_be_had(rig: DockerRig) -> None:
    began = time.monotonic()
    with pytest.raises(
        BadInput, match=r"the image shop/no-such-image:1 is not to be had: .*named by: flow payment, consumer.image"
    ):
        rig.launcher.ensure_image("shop/no-such-image:1", "flow payment, consumer.image")
    assert time.monotonic() - began < 20
    with pytest.raises(
        BadInput, match=r"flow payment, consumer.image: 'Shop:1' is no image name: .*invalid reference format"
    ):
        rig.launcher.ensure_image("Shop:1", "flow payment, consumer.image")
