"""Redis as a server of the harness: found, started, leased, killed, started again, gone."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis_bench import launching, running

from chaosharness.model.address import Address
from chaosharness.model.errors import HarnessBroke, MissingServer, ServerFailed
from chaosharness.ports.launch import Instance, Namespace, Recipe, Signal
from chaosharness.servers import redis as module
from chaosharness.servers.local import LocalInstance, LocalLauncher
from chaosharness.servers.redis import Redis

SERVER = Redis()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running(tmp_path) as instance:
        yield instance


def client(instance: Instance, namespace: Namespace) -> redis.Redis:
    address = instance.nodes["redis"]
    return redis.Redis(host=address.host, port=address.port, db=int(namespace.facts["db"]))


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
    namespace = SERVER.lease(instance, "one")
    with client(instance, namespace) as before:
        for number in range(500):
            before.lpush("q", number)
        assert instance.signal(Signal.KILL).ok
    with pytest.raises(HarnessBroke, match="cannot lease"):
        SERVER.lease(instance, "two")
    assert instance.restart().ok
    SERVER.wait_ready(instance)
    with client(instance, namespace) as after:
        assert after.llen("q") == 500
    assert SERVER.lease(instance, "two") != namespace


def test_a_restart_without_data_is_empty(instance: Instance) -> None:
    namespace = SERVER.lease(instance, "one")
    with client(instance, namespace) as before:
        before.lpush("q", 1)
        assert instance.signal(Signal.KILL).ok
    assert instance.restart(keep_data=False).ok
    SERVER.wait_ready(instance)
    with client(instance, namespace) as after:
        assert after.llen("q") == 0


class OnePort:
    """A launcher whose free port is not free."""

    backend = "local"

    def __init__(self, launcher: LocalLauncher, port: int) -> None:
        self._launcher, self._port = launcher, port

    def launch(self, recipe: Recipe) -> LocalInstance:
        return self._launcher.launch(recipe)

    def free_port(self) -> int:
        return self._port


def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, launching(tmp_path) as launcher:
        broken = OnePort(launcher, taken.getsockname()[1])
        with pytest.raises(ServerFailed, match="Address already in use"):
            SERVER.start(broken, tmp_path / "redis.0")


def test_nothing_outlives_the_keeper(tmp_path: Path) -> None:
    with running(tmp_path) as instance:
        address: Address = instance.nodes["redis"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port)).close()
