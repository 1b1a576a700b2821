"""Redis as a server of the harness: found, started, leased, killed, started again, gone.

What is of a process alone (its program, its folder, its port) is of the backend local; the rest is of every one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis_bench import launching, running
from where import WHERE, expected_version, start, up

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import HarnessBroke, MissingServer, ServerFailed
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Instance, Launcher, Namespace, Signal
from chaosharness.servers import redis as module
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.redis import Redis

SERVER = Redis()
IMAGE = "chaosharness/redis:debian12"
SOON_S = 10.0


@pytest.fixture(scope="module", params=WHERE)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """For a module's tests; each leases a database of its own. Its end is looked at when they are over."""
    instance = start(request, SERVER, tmp_path_factory.mktemp("run") / "redis.0")
    assert SERVER.version(instance).startswith(expected_version(SERVER, request.param))
    yield instance
    stopped = up(SERVER, instance).stop(10)
    assert stopped.ok
    assert (stopped.facts["codes"], stopped.facts["forced"]) == ([0], False)
    assert not instance.alive()
    refuses(instance)


@pytest.fixture
def instance(one: Instance) -> Instance:
    return up(SERVER, one)


def refuses(instance: Instance) -> None:
    address = instance.nodes["redis"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port), 1).close()


def client(instance: Instance, namespace: Namespace, timeout_s: float = 5) -> redis.Redis:
    address = instance.nodes["redis"]
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=int(namespace.facts["db"]),
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )


def test_it_is_found_with_its_version() -> None:
    found = SERVER.available()
    assert found.ok
    assert found.version is not None
    assert re.fullmatch(r"\d+\.\d+\.\d+", found.version)
    assert Path(found.how).name == "redis-server"


def test_where_it_is_not_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(module, "ALSO_IN", (str(tmp_path),))
    found = SERVER.available()
    assert not found.ok
    assert found.remedy == "apt-get install -y redis-server"
    with launching(tmp_path) as launcher, pytest.raises(MissingServer, match="apt-get install"):
        SERVER.start(launcher, tmp_path / "redis.0")


def test_a_program_that_is_not_redis_is_not_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "redis-server"
    fake.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = SERVER.available()
    assert not found.ok
    assert "broken" in found.how


def test_each_lease_is_an_empty_database_of_its_own(instance: Instance) -> None:
    first, second = SERVER.lease(instance, "one"), SERVER.lease(instance, "two")
    assert first != second
    with client(instance, first) as one, client(instance, second) as two:
        one.lpush("q", "x")
        assert two.dbsize() == 0
        SERVER.release(instance, first)
        assert one.dbsize() == 0


def test_a_database_that_somebody_uses_is_not_leased(instance: Instance) -> None:
    taken = SERVER.lease(instance, "one")
    following = Namespace("next", {"db": str(int(taken.facts["db"]) + 1)})
    with client(instance, following) as intruder:
        intruder.set("x", 1)
    with pytest.raises(HarnessBroke, match="holds 1 keys"):
        SERVER.lease(instance, "two")


def test_a_kill_loses_nothing_that_was_confirmed(instance: Instance) -> None:
    namespace, nodes = SERVER.lease(instance, "one"), instance.nodes
    with client(instance, namespace) as before:
        for number in range(500):
            before.lpush("q", number)
        killed = instance.signal(Signal.KILL)
    assert killed.ok
    assert not instance.alive()
    refuses(instance)
    with pytest.raises(HarnessBroke, match="cannot lease"):
        SERVER.lease(instance, "two")
    with pytest.raises(HarnessBroke, match="cannot tell its version"):
        SERVER.version(instance)
    assert instance.restart().ok
    SERVER.wait_ready(instance)
    assert instance.nodes == nodes
    with client(instance, namespace) as after:
        assert after.lrange("q", 0, -1) == [b"%d" % number for number in reversed(range(500))]
    assert SERVER.lease(instance, "two") != namespace
    assert instance.exits() == ()


def test_a_restart_without_data_is_empty(instance: Instance) -> None:
    namespace = SERVER.lease(instance, "one")
    with client(instance, namespace) as before:
        before.lpush("q", 1)
        assert instance.signal(Signal.KILL).ok
    assert instance.restart(keep_data=False).ok
    SERVER.wait_ready(instance)
    with client(instance, namespace) as after:
        assert after.llen("q") == 0
    assert SERVER.lease(instance, "one").name == "db1"


def test_a_frozen_one_answers_nobody_and_goes_on_where_it_was(instance: Instance) -> None:
    with client(instance, SERVER.lease(instance, "one")) as mine:
        mine.lpush("q", 1)
        assert instance.signal(Signal.FREEZE).ok
        try:
            assert instance.alive()
            with (
                client(instance, Namespace("db0", {"db": "0"}), timeout_s=0.3) as other,
                pytest.raises(redis.TimeoutError),
            ):
                other.ping()
        finally:
            assert instance.signal(Signal.THAW).ok
        assert mine.llen("q") == 1


def test_a_frozen_one_can_be_killed(instance: Instance) -> None:
    assert instance.signal(Signal.FREEZE).ok
    assert instance.signal(Signal.KILL).ok
    assert not instance.alive()


def test_what_it_says_is_in_its_log_over_all_incarnations(instance: Instance) -> None:
    def said() -> int:
        return instance.log.read_text().count("Ready to accept connections")

    wait_for("its line", SOON_S, said)
    assert not instance.restart().ok  # it is up
    assert instance.signal(Signal.KILL).ok
    before = said()
    up(SERVER, instance)
    wait_for("the line of its next incarnation", SOON_S, lambda: said() > before)


class OnePort(LocalLauncher):
    """A launcher whose free port is not free."""

    def __init__(self, keeper: KeeperClient, port: int) -> None:
        super().__init__(keeper)
        self._port = port

    def free_port(self) -> int:
        return self._port


def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, KeeperClient.start(tmp_path) as keeper:
        broken = OnePort(keeper, taken.getsockname()[1])
        with pytest.raises(ServerFailed, match="Address already in use"):
            SERVER.start(broken, tmp_path / "redis.0")


def test_nothing_outlives_the_keeper(tmp_path: Path) -> None:
    with running(tmp_path) as instance:
        pass
    refuses(instance)


# containers alone


def test_a_port_that_somebody_took_meanwhile_is_not_asked_for_again(
    docker_launcher: Launcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is free when it is looked for may be somebody's when the engine publishes it."""
    free = docker_launcher.free_port()
    with socket.create_server(("0.0.0.0", 0)) as taken:
        ports = iter([taken.getsockname()[1], free])
        monkeypatch.setattr(docker_launcher, "free_port", lambda: next(ports))
        instance = SERVER.start(docker_launcher, tmp_path / "redis.0", IMAGE)
        assert instance.nodes["redis"].port == free
        assert instance.stop(0).ok
        monkeypatch.setattr(docker_launcher, "free_port", lambda: taken.getsockname()[1])
        with pytest.raises(
            ServerFailed, match=rf"redis\.0: its ports \[{taken.getsockname()[1]}\] cannot be published"
        ):
            SERVER.start(docker_launcher, tmp_path / "again" / "redis.0", IMAGE)


def test_a_name_can_be_used_again_at_once(docker_launcher: Launcher, tmp_path: Path) -> None:
    """The container of before is still on its way out."""
    for number in range(3):
        assert SERVER.start(docker_launcher, tmp_path / str(number) / "redis.0", IMAGE).stop(0).ok
