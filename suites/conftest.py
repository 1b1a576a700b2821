"""What holds for every suite: nothing outlives the session, and commands are this environment's.

Also the fixtures that tests of several files want against real processes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from leaks import Watch

from chaosharness.keeper.client import KeeperClient
from chaosharness.links.toxiproxy_api import Toxiproxies
from chaosharness.ports.launch import Instance
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import Toxiproxy


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """The first fixture to be set up and the last to be torn down: fails the session if anything outlives it."""
    watch = Watch()
    yield
    left = watch.end()
    if left:
        pytest.fail("\n".join(["the session left behind, and the end of it had to be forced:", *left]), pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def commands_of_this_environment(nothing_is_left: None) -> Iterator[None]:
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
