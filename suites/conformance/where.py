"""Where a server of the tests comes from: a process of this machine, or a container of either set of images.

Goes in: a fixture's request, whose parameter is one of `WHERE`. Comes out: a running server. To try it:
suites/conformance/test_servers_redis.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from chaosharness.ports.launch import Instance, Launcher, Server
from chaosharness.servers.local import LocalLauncher

WHERE = ("local", "debian12", "debian13")
"""`debian12` has the versions that a Debian 12 machine has as processes, `debian13` newer ones."""
VERSIONS_OF_THE_WIRE = ("local", "debian13")
"""For what sees the bytes alone: they are the version's, wherever the server runs."""
VERSIONS: Mapping[str, Mapping[str, str]] = {
    "rabbitmq": {"debian12": "3.10.", "debian13": "4.0."},
    "redis": {"debian12": "7.0.", "debian13": "8.0."},
}
"""As a release's packages have them; their last number changes with a security fix."""


def launcher_of(request: pytest.FixtureRequest) -> Launcher:
    found: Launcher = request.getfixturevalue("launcher" if request.param == "local" else "docker_launcher")
    return found


def start(request: pytest.FixtureRequest, server: Server, folder: Path) -> Instance:
    """Starts it as a process in `folder`, or from the image of the release; it may be restarted without its data."""
    launcher = launcher_of(request)
    if isinstance(launcher, LocalLauncher):
        launcher._keeper.remove_on_end(folder / "data")  # by this it is the harness's own, as in a session
        return server.start(launcher, folder)
    image = f"chaosharness/{server.name}:{request.param}"
    launcher.ensure_image(image, f"{Path(__file__).name}; `ci/images` builds it")
    return server.start(launcher, folder, image)


def up(server: Server, instance: Instance) -> Instance:
    """The instance, started again if the last test ended it."""
    if not instance.alive():
        assert instance.restart().ok
        server.wait_ready(instance)
    return instance


def expected_version(server: Server, where: str) -> str:
    """The beginning of it."""
    return VERSIONS[server.name][where] if where != "local" else str(server.available().version)
