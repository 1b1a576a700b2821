"""What can be wrong with an engine, an image or a port: told within seconds, with what to do. Nothing is left.

Through the command line wherever a person would meet it there.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from product import Said, cli, flow, inner_pytest

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import BadInput, ServerFailed
from chaosharness.ports.launch import ContainerRecipe, Launcher
from chaosharness.servers.availability import wait_until_ready
from chaosharness.servers.docker.engine import Engine
from chaosharness.servers.docker.launcher import TRIES, DockerLauncher
from chaosharness.servers.rabbitmq import RabbitMQ
from chaosharness.servers.redis import Redis

AT_ONCE_S = 15.0
"""On a busy machine; nothing of Docker is started."""
SOON_S = 45.0
"""As above, and some containers are."""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
ANOTHER_USER = (*NOBODY, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""Who may read what the tests' own user may, Python and the project for a start, and write nothing."""
DOCKER = {"CHAOSHARNESS_BACKEND": "docker"}
NOWHERE = "localhost:1/"
"""Where no registry is."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    """With a flow file of one scenario's."""
    (tmp_path / "flows.toml").write_text(one_scenario(), encoding="utf-8")
    return tmp_path


def one_scenario(*names: str) -> str:
    texts = [flow(name) for name in names or ("shipper",)]
    return "\n".join(re.sub(r"scenarios = .*", 'scenarios = ["effect-ack:crash"]', text) for text in texts)


def run(folder: Path, within_s: float, **env: str) -> Said:
    """`chaosharness run` on docker, which must end in time, printing nothing but its error."""
    began = time.monotonic()
    said = cli(folder, "run", "flows.toml", "--backend", "docker", **env)
    took_s = time.monotonic() - began
    assert took_s < within_s, said
    assert said.out == "", said
    assert said.err.startswith("chaosharness: "), said
    return said


# no engine


@contextmanager
def listener(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """DOCKER_HOST of something that answers so, until the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


ANSWERS: dict[str, tuple[Callable[[socket.socket], object], str]] = {
    "silence": (lambda connection: connection.recv(4096) and connection.recv(1), "no answer within 3 s"),
    "garbage": (lambda connection: connection.sendall(b"\x00garbage\r\n\r\n"), "what answers there is no engine (Bad"),
    "a page": (
        lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"),
        "it answers /version with 200 '<html>', which no engine does",
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_something_else_answers(folder: Path, name: str) -> None:
    answer, problem = ANSWERS[name]
    with listener(answer) as host:
        said = run(folder, AT_ONCE_S, DOCKER_HOST=host)
    assert said.code == 2
    assert f"no Docker engine: {host} (DOCKER_HOST): {problem}" in said.err
    assert "; start Docker, or name an engine in DOCKER_HOST. Without Docker: the backend local" in said.err


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("unix:///nowhere/docker.sock", "there is no such socket; start Docker, or name an engine in DOCKER_HOST."),
        ("tcp://127.0.0.1:1", "the connection was refused; start Docker, or"),
        ("tcp://", "no address of an engine; expected unix:///path, tcp://host:port or ssh://user@host."),
        ("banana", "no address of an engine; expected unix:///path"),
        ("gopher://build:70", "no address of an engine; expected unix:///path"),
    ],
)
def test_no_engine(folder: Path, host: str, problem: str) -> None:
    said = run(folder, AT_ONCE_S, DOCKER_HOST=host)
    assert said.code == 2
    assert f"chaosharness: no Docker engine: {host} (DOCKER_HOST): {problem}" in said.err
    assert "the backend local runs servers as processes" in said.err
    assert list(folder.glob(".chaosharness/runs/*/keeper")) == []


def test_a_context_that_is_not_there(folder: Path) -> None:
    env = {"DOCKER_HOST": "", "DOCKER_CONTEXT": "nowhere", "DOCKER_CONFIG": str(folder)}
    said = run(folder, AT_ONCE_S, **env)
    assert said.code == 2
    assert "context nowhere (DOCKER_CONTEXT): there is no such context; `docker context ls` lists" in said.err


def test_an_engine_that_this_user_may_not_use(docker_engine: Engine, folder: Path) -> None:
    socket_file = docker_engine.url.removeprefix("unix://")
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("only root becomes another user, by the program setpriv")
    if not socket_file.startswith("/") or os.stat(socket_file).st_mode & 0o006:
        pytest.skip(f"anybody may use {docker_engine.url}")
    folder.chmod(0o777)
    argv = [*ANOTHER_USER, sys.executable, "-m", "chaosharness", "run", "flows.toml", "--backend", "docker"]
    env = {**os.environ, "HOME": str(folder), "DOCKER_HOST": docker_engine.url}
    ended = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=SOON_S)
    assert ended.returncode == 2, ended.stderr
    assert "this user may not use it (permission denied); add the user to the group docker" in ended.stderr


@pytest.mark.parametrize("option", [True, False])
def test_a_backend_that_there_is_not(folder: Path, option: bool) -> None:
    arguments = ["--backend", "podman"] if option else []
    said = cli(folder, "run", "flows.toml", *arguments, CHAOSHARNESS_BACKEND="podman")
    assert said.code == 2
    assert "'podman'" in said.err
    assert "docker" in said.err


def test_auto_goes_on_without_an_engine(folder: Path) -> None:
    said = cli(folder, "run", "flows.toml", "--backend", "auto", "--json", DOCKER_HOST="unix:///nowhere/docker.sock")
    assert said.code == 0, said
    backend = said.json()["environment"]["backend"]
    assert backend.startswith("local (no Docker engine answers: unix:///nowhere/docker.sock (DOCKER_HOST): there is no")


def test_pytest_says_the_same_for_every_scenario_at_once(folder: Path) -> None:
    """A listener that says nothing costs its 3 s once, when pytest starts."""
    (folder / "flows.toml").write_text(one_scenario("one", "two", "three", "four"), encoding="utf-8")
    began = time.monotonic()
    with listener(ANSWERS["silence"][0]) as host:
        said = inner_pytest(folder, "flows.toml", "--chaos-backend", "docker", DOCKER_HOST=host)
    took_s = time.monotonic() - began
    assert said.code == 1, said
    words = f"no Docker engine: {host} (DOCKER_HOST): no answer within 3 s; start Docker"
    assert said.out.count(f"{words}, or name an engine in DOCKER_HOST. Without Docker") >= 4, said
    assert "4 failed" in said.out or "4 errors" in said.out, said
    assert took_s < AT_ONCE_S, said


# images


@pytest.mark.parametrize(
    ("env", "image", "named_by"),
    [
        ({"CHAOSHARNESS_IMAGE_REDIS": NOWHERE + "shop/redis:7"}, "shop/redis:7", "CHAOSHARNESS_IMAGE_REDIS)"),
        (
            {"CHAOSHARNESS_IMAGE_REDIS": "", "CHAOSHARNESS_IMAGE_PREFIX": NOWHERE},
            Redis.image,
            "the default behind CHAOSHARNESS_IMAGE_PREFIX; CHAOSHARNESS_IMAGE_REDIS or [images] redis names another",
        ),
        ({"CHAOSHARNESS_IMAGE_TOXIPROXY": NOWHERE + "proxy:1"}, "proxy:1", "CHAOSHARNESS_IMAGE_TOXIPROXY)"),
    ],
)
def test_an_image_that_is_not_to_be_had(
    docker_engine: Engine, folder: Path, env: dict[str, str], image: str, named_by: str
) -> None:
    said = run(folder, SOON_S, **env)
    assert said.code == 2
    assert f"the image {NOWHERE}{image} is not to be had: the engine does not have it, and a pull says: " in said.err
    assert f"(named by: {named_by}" in said.err


def test_an_image_of_the_flow_file_that_is_not_to_be_had(docker_engine: Engine, folder: Path) -> None:
    with (folder / "flows.toml").open("a", encoding="utf-8") as file:
        file.write(f'[images]\nredis = "{NOWHERE}redis:1"\n')
    said = run(folder, SOON_S, CHAOSHARNESS_IMAGE_REDIS="")
    assert said.code == 2
    assert f"the image {NOWHERE}redis:1 is not to be had" in said.err
    assert "(named by: [images] redis of the flow file)" in said.err


@pytest.mark.parametrize("name", ["Shop/Redis", "redis:", "redis:7:7", "re dis", "redis@sha256:1", "http://x/redis"])
def test_a_name_that_is_no_image_name(docker_launcher: Launcher, name: str) -> None:
    with pytest.raises(BadInput, match=r"CHAOSHARNESS_IMAGE_REDIS: .* is no image name: .*invalid reference format"):
        docker_launcher.ensure_image(name, "CHAOSHARNESS_IMAGE_REDIS")


def test_a_malformed_name_through_the_command_line(docker_engine: Engine, folder: Path) -> None:
    said = run(folder, SOON_S, CHAOSHARNESS_IMAGE_REDIS="Shop/Redis")
    assert said.code == 2
    assert "CHAOSHARNESS_IMAGE_REDIS: 'Shop/Redis' is no image name: " in said.err


def test_an_image_of_another_kind(docker_engine: Engine, folder: Path) -> None:
    """Its program is not in it: the end of its log says so, as soon as it has ended."""
    said = run(folder, SOON_S, CHAOSHARNESS_IMAGE_REDIS=os.environ["CHAOSHARNESS_IMAGE_RABBITMQ"])
    assert said.code in (2, 4)
    assert "redis-server" in said.err
    assert "not found" in said.err
    assert os.environ["CHAOSHARNESS_IMAGE_RABBITMQ"] in said.err


def test_a_server_that_dies_at_its_start(docker_launcher: Launcher, tmp_path: Path) -> None:
    """As it would without Docker: with its log's last lines, and not after a long wait."""
    began = time.monotonic()
    rabbitmq = RabbitMQ(config=["no_such_key = 1"])
    with pytest.raises(ServerFailed) as failed:
        rabbitmq.start(docker_launcher, tmp_path / "rabbitmq", os.environ["CHAOSHARNESS_IMAGE_RABBITMQ"])
    assert time.monotonic() - began < SOON_S
    assert "rabbitmq ended before it was ready for clients" in str(failed.value)
    assert "no_such_key" in str(failed.value)


def test_a_server_that_never_serves(docker_launcher: Launcher, tmp_path: Path) -> None:
    """It runs: the wait is bounded all the same."""
    idle = ContainerRecipe(
        name="idle",
        image=os.environ["CHAOSHARNESS_IMAGE_REDIS"],
        command=("sh", "-c", "echo here I am; exec tail -f /dev/null"),
        env={},
        log=tmp_path / "idle.log",
    )
    instance = docker_launcher.launch(idle)
    try:
        with pytest.raises(ServerFailed, match=r"waited 1 s for idle to be ready for clients; .*\n.*here I am"):
            wait_until_ready(instance, lambda: False, within_s=1.0)
    finally:
        instance.stop(0)


def test_what_failed_twice_is_not_tried_for_every_scenario(docker_engine: Engine, folder: Path) -> None:
    """pytest goes on after a failure, and each would wait for the same servers."""
    (folder / "flows.toml").write_text(one_scenario("one", "two", "three", "four"), encoding="utf-8")
    image = os.environ["CHAOSHARNESS_IMAGE_RABBITMQ"]
    said = inner_pytest(folder, "flows.toml", "--chaos-backend", "docker", CHAOSHARNESS_IMAGE_REDIS=image)
    assert said.code == 1, said
    assert said.out.count("redis-server: not found") >= 4, said
    (run_folder,) = folder.glob(".chaosharness/runs/*")
    assert len(list(run_folder.glob("servers*"))) == 2, said


def test_a_server_that_there_is_not(folder: Path) -> None:
    with (folder / "flows.toml").open("a", encoding="utf-8") as file:
        file.write('[images]\nredsi = "redis:7"\n')
    said = run(folder, AT_ONCE_S)
    assert said.code == 2
    assert "images.redsi" in said.err
    assert 'did you mean "redis"?' in said.err


# ways and ports


def test_a_host_that_leads_nowhere(docker_engine: Engine, folder: Path) -> None:
    """In a container it is the container itself."""
    if not docker_engine.local:
        pytest.skip("the engine is elsewhere: suites/conformance/test_docker_remote.py")
    said = run(folder, SOON_S, CHAOSHARNESS_HOST="127.0.0.2")
    assert said.code == 2
    assert "Toxiproxy's container cannot connect to this machine at 127.0.0.2:" in said.err
    assert "CHAOSHARNESS_HOST names it" in said.err


class Pinned(DockerLauncher):
    """Its ports are given."""

    def __init__(self, engine: Engine, keeper: KeeperClient) -> None:
        super().__init__(engine, keeper)
        self.pinned: list[int] = []

    def free_port(self) -> int:
        return self.pinned.pop(0) if self.pinned else super().free_port()


@pytest.mark.parametrize("taken", [1, TRIES])
def test_a_port_that_is_taken(docker_engine: Engine, keeper: KeeperClient, tmp_path: Path, taken: int) -> None:
    """Somebody may be quicker, again and again, but not for ever."""
    image = os.environ["CHAOSHARNESS_IMAGE_REDIS"]
    launcher = Pinned(docker_engine, keeper)
    with launcher:
        ground = launcher.ground
        with socket.create_server((ground.publish_at(ground.servers), launcher.free_port())) as somebody:
            port = somebody.getsockname()[1]
            launcher.pinned = [port] * taken
            if taken < TRIES:
                redis = Redis().start(launcher, tmp_path / "redis", image)
                assert redis.nodes["redis"].port != port
                return
            with pytest.raises(ServerFailed, match=rf"redis: its ports \[{port}\] cannot be published: .*{port}"):
                Redis().start(launcher, tmp_path / "redis", image)


def test_a_port_that_another_container_has(docker_engine: Engine, keeper: KeeperClient, tmp_path: Path) -> None:
    """The engine has other words for it."""
    image = os.environ["CHAOSHARNESS_IMAGE_REDIS"]
    launcher = Pinned(docker_engine, keeper)
    with launcher:
        first = Redis().start(launcher, tmp_path / "first", image)
        launcher.pinned = [first.nodes["redis"].port]
        second = Redis().start(launcher, tmp_path / "second", image)
        assert launcher.pinned == []
        assert second.nodes["redis"].port != first.nodes["redis"].port
