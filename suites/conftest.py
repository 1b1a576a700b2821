"""What holds for every suite: nothing outlives the session, and commands are this environment's.

Also the fixtures that tests of several files want against real processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import SKIP_DOCKER, Unusable, an_engine, images_for
from leaks import Watch

from chaosharness.keeper.client import KeeperClient
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.ports.launch import Instance, Launcher
from chaosharness.servers.docker.engine import Engine
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import Toxiproxy
from chaosharness.session.backend import VARIABLE

# Before any plugin is configured: what a test means must not depend on whether an engine happens to run.
os.environ.setdefault(VARIABLE, "local")


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[Watch]:
    """The first fixture to be set up and the last to be torn down: fails the session if anything outlives it."""
    watch = Watch()
    yield watch
    left = watch.end()
    if left:
        pytest.fail("\n".join(["the session left behind, and the end of it had to be forced:", *left]), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def commands_of_this_environment(nothing_is_left: Watch) -> Iterator[None]:
    """`python3` and `chaosharness` in a flow's command are those beside the Python that runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        yield


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[KeeperClient]:
    """One for each test, in its folder."""
    with KeeperClient.start(tmp_path / "keeper") as client:
        yield client


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalLauncher]:
    """One for a module's servers, with a keeper of its own."""
    with KeeperClient.start(tmp_path_factory.mktemp("keeper")) as client:
        yield LocalLauncher(client)


@pytest.fixture(scope="session")
def docker_engine(nothing_is_left: Watch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has the servers' images, which are then those of this environment.

    Without an engine the test fails, unless the environment says that this is known.
    """
    engine, reason = an_engine()
    if reason:
        (pytest.skip if os.environ.get(SKIP_DOCKER) == "1" else pytest.fail)(reason)
    with pytest.MonkeyPatch.context() as patch:
        try:
            for name, image in images_for(engine).items():
                patch.setenv(name, image)
        except Unusable as why:
            pytest.fail(str(why))
        nothing_is_left.look_at(engine, tmp_path_factory.getbasetemp())
        yield engine


@pytest.fixture(scope="session", autouse=True)
def images_of_this_environment(request: pytest.FixtureRequest) -> None:
    """Where the suites are told to run on docker, so are the commands that they start."""
    if os.environ[VARIABLE] == "docker":
        request.getfixturevalue("docker_engine")


@pytest.fixture(scope="module")
def docker_launcher(docker_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """One for a module's containers, with a keeper of its own."""
    from chaosharness.servers.docker.launcher import DockerLauncher  # here: its libraries take 0.3 s to load

    folder = tmp_path_factory.mktemp("keeper")
    with KeeperClient.start(folder) as client, DockerLauncher(docker_engine, client) as launcher:
        yield launcher


@pytest.fixture(scope="module", params=["local", "docker"])
def backend_launcher(request: pytest.FixtureRequest) -> Launcher:
    """One of each backend, for what holds for both; `backends.start` starts a server on it."""
    found: Launcher = request.getfixturevalue("launcher" if request.param == "local" else "docker_launcher")
    return found


@pytest.fixture(scope="module")
def toxiproxy_server(launcher: LocalLauncher, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """A Toxiproxy for a module's links."""
    return Toxiproxy().start(launcher, tmp_path_factory.mktemp("toxiproxy"))


@pytest.fixture
def toxiproxies(toxiproxy_server: Instance) -> Iterator[Toxiproxies]:
    """What speaks to it; a test's links are gone after the test."""
    with Toxiproxies(toxiproxy_server.nodes["api"]) as found:
        yield found
        found.remove_all()
