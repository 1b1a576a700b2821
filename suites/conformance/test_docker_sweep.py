"""What a harness leaves on an engine is removed by whoever comes first, and nobody else's things are touched.

Other sweeps may run on the engine at the same time: a test says what is there afterwards, not who removed it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker.errors
import pytest
from leaks import Watch

from chaosharness.cli import main
from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker import sweep as sweeping
from chaosharness.servers.docker.engine import Engine, find_engine
from chaosharness.servers.docker.ground import Ground
from chaosharness.servers.docker.labels import OWNER, labels, owner
from chaosharness.servers.docker.sweep import connect, found, remove_session, sweep

SOON_S = 30.0
DRIVER = "bridge"


@pytest.fixture
def client(docker_engine: Engine) -> Iterator[Any]:
    with closing(connect(docker_engine.url)) as client:
        yield client


@pytest.fixture(scope="session")
def image(docker_engine: Engine) -> str:
    """Small, and with a volume of its own."""
    return os.environ["CHAOSHARNESS_IMAGE_REDIS"]


class Mortal:
    """An owner. What it owns is made while it lives: once it is dead, any session on the engine may sweep."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.owner = owner(process.pid)
        self._process = process

    def die(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def mortal() -> Iterator[Mortal]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = Mortal(process)
        yield found
        found.die()


class Maker:
    """Makes labelled things on an engine, as a harness would."""

    def __init__(self, client: Any, image: str, folder: Path) -> None:
        self.client = client
        self.image = image
        self.folder = folder
        self.session = f"test-{os.urandom(4).hex()}"

    def labels(self, owner: str, name: str = "a") -> dict[str, str]:
        return {**labels(self.session, name, self.folder), OWNER: owner}

    def container(self, owner: str, name: str = "a", **settings: Any) -> str:
        """Running, with an anonymous volume."""
        made = self.client.containers.run(
            self.image, labels=self.labels(owner, name), name=f"{self.session}-{name}", detach=True, **settings
        )
        return str(made.id)

    def network(self, owner: str, name: str = "a") -> str:
        made = self.client.api.create_network(f"{self.session}-{name}", DRIVER, labels=self.labels(owner, name))
        return str(made["Id"])

    def volume(self, owner: str, name: str = "a") -> str:
        return str(self.client.api.create_volume(f"{self.session}-{name}", labels=self.labels(owner, name))["Name"])

    def everything(self, owner: str, name: str = "a") -> None:
        network = self.network(owner, name)
        self.container(owner, name, network=network, volumes={self.volume(owner, name): {"bind": "/mnt"}})

    def left(self) -> set[str]:
        """What there is of the session: `container:a`."""
        return {f"{one.kind}:{one.name}" for one in found(self.client, self.session)}


ALL = {"container:a", "network:a", "volume:a"}


@pytest.fixture
def maker(client: Any, image: str, tmp_path: Path) -> Iterator[Maker]:
    maker = Maker(client, image, tmp_path)
    yield maker
    remove_session(client, maker.session)


def volumes_of(client: Any, container: str) -> list[str]:
    return [mount["Name"] for mount in client.api.inspect_container(container)["Mounts"]]


def exists(client: Any, volume: str) -> bool:
    try:
        client.api.inspect_volume(volume)
    except docker.errors.NotFound:
        return False
    return True


def test_what_a_dead_owner_left_is_removed_with_its_anonymous_volumes(
    maker: Maker, client: Any, mortal: Mortal
) -> None:
    maker.everything(owner(os.getpid()))
    (anonymous,) = volumes_of(client, maker.container(mortal.owner, "b"))
    maker.everything(mortal.owner, "c")
    assert exists(client, anonymous)
    mortal.die()
    sweep(client, SOON_S)
    assert maker.left() == ALL
    assert not exists(client, anonymous)


@pytest.mark.parametrize(
    "label",
    ["", "another-machine another-boot 1 1 1", "{machine} {boot} 1 1 1", "{machine} another boot"],
    ids=["none", "machine", "pid-namespace", "unreadable"],
)
def test_what_is_not_known_to_be_dead_stays(
    maker: Maker, client: Any, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine, boot, *_ = owner(os.getpid()).split(" ")
    maker.everything(label.format(machine=machine, boot=boot))
    sweep(client)
    assert maker.left() == ALL
    assert main(["doctor"]) == 0
    assert "not known from here to be dead: " in capsys.readouterr().out


def test_sweeps_at_once_do_not_fail_each_other(maker: Maker, mortal: Mortal, docker_engine: Engine) -> None:
    for number in range(3):
        maker.everything(mortal.owner, f"{number}")
    mortal.die()

    def sweep_too(number: int) -> None:
        with closing(connect(docker_engine.url)) as mine:
            if number:
                sweep(mine, SOON_S)
            else:
                remove_session(mine, maker.session)

    with ThreadPoolExecutor() as pool:
        list(pool.map(sweep_too, range(3)))
    assert maker.left() == set()


def test_a_refusal_is_told_and_breaks_nothing(
    maker: Maker, client: Any, mortal: Mortal, image: str, docker_engine: Engine, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A network that somebody's container is on."""
    network = maker.network(mortal.owner)
    somebody = client.containers.run(image, network=network, detach=True)
    mortal.die()
    try:
        swept = sweep(client)
        (why,) = [why for left, why in swept.refused.items() if left.id == network]
        assert "active endpoints" in why
        assert network not in {left.id for left in swept.removed}
        with KeeperClient.start(tmp_path / "keeper") as keeper:
            ground = Ground(docker_engine, keeper)  # a session starts, and ends
            ground.close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeping, "WITHIN_S", 0.2)
            with pytest.raises(TimedOut, match=rf"session {maker.session} to be removed.*active endpoints"):
                remove_session(client, maker.session)
            patch.setattr("chaosharness.cli.doctor.CLEAN_WITHIN_S", 0.2)
            assert main(["doctor", "--clean"]) == 4
        said = capsys.readouterr().out
        assert f"not removed: network {network[:12]} (a of session {maker.session}, owner dead): " in said
        assert "active endpoints" in said
    finally:
        somebody.remove(v=True, force=True)
    sweep(client, SOON_S)
    assert maker.left() == set()


def test_what_the_engine_may_still_be_making_is_waited_for(maker: Maker, docker_engine: Engine) -> None:
    alive, asked = owner(os.getpid()), threading.Event()

    def make_late() -> None:
        asked.wait()
        maker.container(alive, "late")

    maker.container(alive)
    with ThreadPoolExecutor() as pool, closing(connect(docker_engine.url)) as other:
        late = pool.submit(make_late)

        def list_and_let_go(*arguments: Any) -> Any:
            there = found(*arguments)
            if not there:
                asked.set()  # all that was made so far is gone
            return there

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweeping, "found", list_and_let_go)
            remove_session(other, maker.session, {f"{maker.session}-late"})
        try:
            late.result()
        except docker.errors.APIError:  # it was removed before it was started
            pass
    assert maker.left() == set()


def test_what_is_never_made_is_not_waited_for_without_end(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "EXPECTED_S", 0.2)
    remove_session(client, "test-nothing", {"never"})


def test_an_engine_that_is_just_being_restarted_is_waited_for(
    maker: Maker, docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its socket is there only from the second try on."""
    tries = []
    with tempfile.TemporaryDirectory() as short:
        late = Path(short, "late.sock")

        def find_and_come_back() -> Engine:
            tries.append(find_engine())
            late.symlink_to(urlsplit(docker_engine.url).path)
            return tries[-1]

        maker.everything(owner(os.getpid()))
        monkeypatch.setattr(sweeping, "find_engine", lambda: find_engine() if tries else find_and_come_back())
        monkeypatch.setenv("DOCKER_HOST", f"unix://{late}")
        assert sweeping.main([maker.session]) == 0
    assert [engine.ok for engine in tries] == [False]
    assert maker.left() == set()


def test_an_engine_that_is_gone_is_told_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sweeping, "BACK_WITHIN_S", 0.1)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert sweeping.main(["5e55"]) == 1
    said = capsys.readouterr().err
    assert "sweep: waited 0.1 s for the engine to answer; last seen: unix:///nowhere.sock" in said
    assert "there is no such socket; `chaosharness doctor --clean` does it later" in said


SESSION_OF_ITS_OWN = """
import sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient
from chaosharness.servers.docker.engine import find_engine
from chaosharness.servers.docker.ground import Ground

with KeeperClient.start(Path(sys.argv[1])) as keeper:
    ground = Ground(find_engine(), keeper)
    print(ground.session, flush=True)
    container = ground.create(sys.argv[2], "other")
    container.start()
    input()
    ground.close()
"""


def test_two_sessions_at_once_leave_each_other_alone(
    docker_engine: Engine, client: Any, image: str, tmp_path: Path
) -> None:
    expected = {"container:other", "network:links", "network:servers"}

    def of(session: str) -> set[str]:
        return {f"{one.kind}:{one.name}" for one in found(client, session)}

    with KeeperClient.start(tmp_path / "keeper") as keeper, closing(Ground(docker_engine, keeper)) as mine:
        mine.create(image, "other")
        with subprocess.Popen(
            [sys.executable, "-c", SESSION_OF_ITS_OWN, str(tmp_path / "other"), image],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout
            other = process.stdout.readline().strip()
            wait_for("the other's container", SOON_S, lambda: of(other) == expected, last_seen=lambda: of(other))
            sweep(client)
            assert of(mine.session) == of(other) == expected
            process.communicate("\n")
        assert process.returncode == 0
        assert of(other) == set()
        assert of(mine.session) == expected
    assert of(mine.session) == set()


def test_a_session_that_cannot_begin_leaves_nothing(
    docker_engine: Engine, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(ground: Ground, name: str) -> Any:
        if name == "servers":
            raise ZeroDivisionError
        return make(ground, name)

    make = Ground._make_network
    monkeypatch.setattr(Ground, "_make_network", refuse)
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        with pytest.raises(ZeroDivisionError):
            Ground(docker_engine, keeper)
        assert [one for one in found(client) if one.folder == str(keeper.folder)] == []


def on_docker(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Mapping[str, Any]]:
    code = main(["doctor", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)["docker"]


def test_doctor_shows_what_is_left_and_removes_it(
    maker: Maker, mortal: Mortal, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    maker.everything(owner(os.getpid()), "mine")
    code, told = on_docker(tmp_path, capsys)
    assert code == 0
    kept = [one for one in told["left"] if one["session"] == maker.session]
    assert sorted(one["kind"] for one in kept) == ["container", "network", "volume"]
    assert {(one["name"], one["owner"], one["folder"]) for one in kept} == {("mine", "alive", str(tmp_path))}
    maker.everything(mortal.owner)
    mortal.die()
    code, told = on_docker(tmp_path, capsys, "--clean")
    assert code == (4 if told["refused"] else 0)
    assert [one for one in told["refused"] if one["session"] == maker.session] == []
    assert {one["name"] for one in told["left"] if one["session"] == maker.session} == {"mine"}
    assert maker.left() == {"container:mine", "network:mine", "volume:mine"}


def test_doctor_names_images_and_who_named_them(
    docker_engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHAOSHARNESS_IMAGE_RABBITMQ", "nobody/has-this:1")
    code, told = on_docker(tmp_path, capsys)
    assert code == 0
    images = {image["server"]: image for image in told["images"]}
    assert {name: image["there"] for name, image in images.items()} == {
        "toxiproxy": True, "rabbitmq": False, "redis": True,
    }  # fmt: skip
    assert images["redis"]["named_by"] == "CHAOSHARNESS_IMAGE_REDIS"
    main(["doctor"])
    said = capsys.readouterr().out
    assert "rabbitmq     nobody/has-this:1: a run pulls it (CHAOSHARNESS_IMAGE_RABBITMQ)" in said
    assert f"docker: {docker_engine}" in said
    monkeypatch.setenv("CHAOSHARNESS_IMAGE_RABBITMQ", "no image/Name")
    monkeypatch.setenv("CHAOSHARNESS_TOXIPROXY", "/nowhere")
    assert main(["doctor"]) == 2  # neither backend has everything
    assert "the engine refuses the name: " in capsys.readouterr().out


@pytest.mark.parametrize("url", ["unix:///nowhere.sock", "tcp://127.0.0.1:1"])
def test_doctor_without_an_engine(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", url)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "auto takes local (no Docker engine answers" in said
    assert f"docker: {url} (DOCKER_HOST): " in said
    assert on_docker(tmp_path, capsys, "--clean")[0] == 2  # nothing could be looked at


def test_a_session_of_tests_that_leaves_a_container_is_told(
    docker_engine: Engine, maker: Maker, client: Any, tmp_path: Path
) -> None:
    watch = Watch()
    watch.look_at(docker_engine, tmp_path / "elsewhere")
    maker.everything(owner(os.getpid()))
    assert watch.end() == []
    watch = Watch()
    watch.look_at(docker_engine, tmp_path)
    lines = watch.end()
    assert sorted(line.split()[0] for line in lines) == ["container", "network", "volume"]
    assert maker.left() == set()
