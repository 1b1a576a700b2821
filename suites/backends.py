"""Real servers on either backend, for tests: the engine, its images, a launcher, a server started on it.

Goes in: the environment. Comes out: a Docker Engine that has the images of the project's servers, or why not; servers.
To try it: the fixtures of conftest.py.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

from chaosharness.ports.launch import Instance, Launcher, Server
from chaosharness.servers.docker.engine import Engine, find_engine

SKIP_DOCKER = "CHAOSHARNESS_SKIP_DOCKER"
"""Environment, `1`: it is known that no engine answers here, so that tests that need one are skipped."""
IMAGES = {
    "CHAOSHARNESS_IMAGE_RABBITMQ": "chaosharness/rabbitmq:debian12",
    "CHAOSHARNESS_IMAGE_REDIS": "chaosharness/redis:debian12",
    "CHAOSHARNESS_IMAGE_TOXIPROXY": "chaosharness/toxiproxy:2.12.0",
}
"""Where the environment names none that the engine has: the project's own, which `ci/images` builds."""


class Unusable(Exception):
    """The engine answers, and tests cannot use it; the message says what to do."""


def an_engine() -> tuple[Engine, str]:
    """The engine, and why tests cannot use one (empty: they can)."""
    engine = find_engine()
    return engine, "" if engine.ok else f"no Docker engine: {engine}; {SKIP_DOCKER}=1 says that this is known"


def images_for(engine: Engine) -> dict[str, str]:
    """The image variables, each with an image that the engine has. Raises Unusable naming what is not there."""
    from chaosharness.servers.docker.sweep import connect  # here: it takes time to load, and most tests need none

    with closing(connect(engine.url, engine.settings)) as client:
        has = {tag for image in client.images.list() for tag in image.tags}
    found = {name: next((it for it in (os.environ.get(name), own) if it in has), None) for name, own in IMAGES.items()}
    missing = [f"{IMAGES[name]} ({name})" for name, image in found.items() if image is None]
    if missing:
        raise Unusable(f"{engine} lacks {', '.join(missing)}; `ci/images` builds them")
    return {name: image for name, image in found.items() if image}


def start(launcher: Launcher, server: Server, folder: Path) -> Instance:
    """Starts `server` as a process or, on a launcher of containers, from its image; returns when it is ready."""
    if launcher.backend == "local":
        return server.start(launcher, folder)
    from chaosharness.servers.docker.images import image_of  # here: as above

    image = image_of(server.name, server.image)
    launcher.ensure_image(image.name, image.named_by)
    return server.start(launcher, folder, image.name)
