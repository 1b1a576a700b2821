"""An engine on another host: what runs there, and what is said where a half of the way is missing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import SKIP_DOCKER
from docker_runs import CELL, ENDS_WITHIN_S, FLOWS, Ran, shipper
from remote_engine import NoRig, RemoteEngine, remote_engine

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import BadInput
from chaosharness.ports.launch import Way
from chaosharness.servers.docker.engine import Engine
from chaosharness.servers.docker.images import image_of
from chaosharness.servers.docker.launcher import DockerLauncher
from chaosharness.servers.toxiproxy import Toxiproxy

SERVICE = "chaosharness/service:debian12"
TOLD_WITHIN_S = 30.0
"""On a busy machine; 4 s of it are waits."""
DOCUMENTED = "203.0.113.9"
"""An address that is nobody's."""
NEW = ("-m", "conntrack", "--ctstate", "NEW", "-j", "DROP")


@pytest.fixture(scope="module")
def remote(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    """One for the module, with the images that this environment's servers run from."""
    images = [os.environ[f"CHAOSHARNESS_IMAGE_{server}"] for server in ("RABBITMQ", "REDIS", "TOXIPROXY")]
    try:
        with remote_engine(tmp_path_factory.mktemp("remote"), docker_engine, [*images, SERVICE]) as engine:
            yield engine
    except NoRig as why:
        pytest.fail(f"{why}\n{SKIP_DOCKER}=1 says that there is no Docker here")


@pytest.fixture(autouse=True)
def nothing_is_left_there(remote: RemoteEngine) -> Iterator[None]:
    """Of any test's containers, networks and volumes."""
    yield
    assert remote.left() == []


def test_what_its_processes_are_is_not_seen_here(remote: RemoteEngine) -> None:
    engine = remote.look()
    assert engine.ok
    assert not engine.local
    assert engine.host == remote.address


def test_scenarios_end_as_on_an_engine_here(remote: RemoteEngine, tmp_path: Path) -> None:
    """Servers there, services and taps here; expected verdicts: demo_expected.toml."""
    cells = {
        "payment[effect-ack:crash]": "upheld",
        "payment[stored:broker-kill]": "upheld",
        "payment[effect-ack:partition]": "upheld",
        "payment_without_key[effect-ack:crash]": "violated",
    }
    only = [word for cell in cells for word in ("--only", cell)]
    ran = Ran(tmp_path, remote.env, "run", str(FLOWS / "demo.toml"), *only, "--json")
    assert ran.verdicts() == cells
    assert ran.code == 1
    assert remote.url in ran.run()["environment"]["backend"]


def test_a_service_that_is_an_image_runs_there_too(remote: RemoteEngine, tmp_path: Path) -> None:
    """Its connections are seen from a second container: its process ids mean nothing here."""
    file = shipper(tmp_path, f'image = "{SERVICE}"\ncommand = "python3 services/shipper.py"')
    ran = Ran(tmp_path, remote.env, "run", str(file), "--json")
    assert ran.verdicts() == {CELL: "upheld"}, ran.out + ran.err


def test_no_way_back(remote: RemoteEngine, tmp_path: Path) -> None:
    with remote.rule("DOCKER-USER", "-d", remote.harness, *NEW):
        ran = Ran(tmp_path, remote.env, "run", str(shipper(tmp_path)))
    assert ran.code == 2
    assert "Toxiproxy's container does not reach this machine at " + remote.harness in ran.err
    assert "CHAOSHARNESS_HOST" in ran.err
    assert ran.took_s < TOLD_WITHIN_S


def test_no_way_in(remote: RemoteEngine, tmp_path: Path) -> None:
    with remote.rule("DOCKER-USER", "-s", remote.harness, *NEW):
        ran = Ran(tmp_path, remote.env, "run", str(shipper(tmp_path)))
    assert ran.code == 2
    assert f"this machine does not reach ports published on {remote.address}" in ran.err
    assert "TESTCONTAINERS_HOST_OVERRIDE" in ran.err
    assert ran.took_s < TOLD_WITHIN_S


def test_no_way_in_to_the_links(remote: RemoteEngine, tmp_path: Path) -> None:
    """The API's port is let through, and only that."""
    with remote.rule("DOCKER-USER", "-s", remote.harness, "-p", "tcp", "!", "--dport", "8474", *NEW):
        ran = Ran(tmp_path, remote.env, "run", str(shipper(tmp_path)))
    assert ran.code == 2
    assert "this machine does not reach Toxiproxy's published port " + remote.address in ran.err
    assert ran.took_s < TOLD_WITHIN_S


def test_another_name_for_this_machine(remote: RemoteEngine, tmp_path: Path) -> None:
    """Behind address translation: taps listen everywhere, and containers go where CHAOSHARNESS_HOST says."""
    translate = ("PREROUTING", "-d", DOCUMENTED, "-j", "DNAT", "--to-destination", remote.harness)
    with remote.rule(*translate, table="nat"):
        env = {**remote.env, "CHAOSHARNESS_HOST": DOCUMENTED}
        ran = Ran(tmp_path, env, "run", str(shipper(tmp_path)), "--json")
    assert ran.verdicts() == {CELL: "upheld"}
    (log,) = tmp_path.glob(".chaosharness/runs/*/servers/toxiproxy/toxiproxy.log")
    assert f"{DOCUMENTED}:" in log.read_text()


@pytest.mark.parametrize("named", ["harness", None, DOCUMENTED])
def test_where_taps_listen(
    remote: RemoteEngine, keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    host = remote.harness if named == "harness" else named
    monkeypatch.setenv("CHAOSHARNESS_HOST", host or "")
    with DockerLauncher(remote.look(), keeper) as launcher:
        ways = launcher.ways()
    assert ways == (Way("0.0.0.0", DOCUMENTED) if named == DOCUMENTED else Way(remote.harness, remote.harness),)


@pytest.mark.parametrize("named", ["http://10.0.0.1", "10.0.0.1:80", "-", "a b", "::1"])
def test_a_name_that_is_none(
    remote: RemoteEngine, keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("CHAOSHARNESS_HOST", named)
    with pytest.raises(BadInput, match="CHAOSHARNESS_HOST: expected a host's name or IPv4 address, without a port"):
        DockerLauncher(remote.look(), keeper)


def test_a_host_that_has_no_address_here(
    remote: RemoteEngine, keeper: KeeperClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TESTCONTAINERS_HOST_OVERRIDE", "nowhere.invalid")
    image = image_of("toxiproxy", Toxiproxy.image).name
    with (
        DockerLauncher(remote.look(), keeper) as launcher,
        pytest.raises(BadInput, match=r"'nowhere\.invalid' has no IPv4 address here .*TESTCONTAINERS_HOST_OVERRIDE"),
    ):
        Toxiproxy().start(launcher, tmp_path / "toxiproxy", image)


def test_a_context_leads_to_it(remote: RemoteEngine, tmp_path: Path) -> None:
    """Made by the docker command, in a folder of its own."""
    config = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    make = ["docker", "context", "create", "elsewhere", "--docker", f"host={remote.url}"]
    subprocess.run(make, env={**os.environ, **config}, check=True, capture_output=True, timeout=ENDS_WITHIN_S)
    env = {**config, "DOCKER_HOST": "", "DOCKER_CONTEXT": "elsewhere", "CHAOSHARNESS_BACKEND": "docker"}
    ran = Ran(tmp_path, env, "run", str(shipper(tmp_path)), "--json")
    assert ran.verdicts() == {CELL: "upheld"}
    assert remote.url in ran.run()["environment"]["backend"]


def test_a_socket_file_that_leads_elsewhere(remote: RemoteEngine, tmp_path: Path) -> None:
    """As by a tunnel of the user's own, or in a container with the engine's socket: published ports are not here."""
    env = {"DOCKER_HOST": f"unix://{remote.socket}", "CHAOSHARNESS_BACKEND": "docker"}
    ran = Ran(tmp_path, env, "run", str(shipper(tmp_path)))
    assert ran.code == 2, ran
    assert "this machine does not reach ports published on 127.0.0.1: waited 6 s for 127.0.0.1:" in ran.err
    assert f"is the engine at unix://{remote.socket} on another host, or is this process in a container?" in ran.err
    assert "TESTCONTAINERS_HOST_OVERRIDE names another host" in ran.err
    assert ran.took_s < TOLD_WITHIN_S
    ran = Ran(tmp_path, {**env, "TESTCONTAINERS_HOST_OVERRIDE": remote.address}, "run", "flows.toml", "--json")
    assert ran.verdicts() == {CELL: "upheld"}, ran
