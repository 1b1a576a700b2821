"""What the tests against real processes share; a file that needs more of one has a fixture of the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosharness.keeper.client import KeeperClient
from chaosharness.ports.launch import Instance
from chaosharness.servers.local import LocalLauncher
from chaosharness.servers.toxiproxy import Toxiproxy


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
