"""Makes the backend docker usable for the scripts of this folder: an engine that answers, images that it has.

In: a backend's name, a set of images. Out: a `Backend`; the environment names the images. Without a name it is the
environment's choice, and nothing is installed. Where an image was named (CHAOSHARNESS_IMAGE_RABBITMQ, …) it stands;
else the official ones are taken where they are to be had, else the project's own are built. To try it:
`ci/demo --backend docker`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys

import ready  # first: it installs what the next ones are

# isort: split
import docker
import docker.errors

from chaosharness.model.errors import MissingServer
from chaosharness.registry import Registry
from chaosharness.servers.docker.images import OVERRIDE
from chaosharness.servers.toxiproxy import Toxiproxy
from chaosharness.session.backend import BACKENDS, VARIABLE, Backend, choose_backend

OWN_SETS = ("debian12", "debian13")
PREFERRED = "debian12"
"""The versions that the local servers of Debian 12 have."""


def backend(asked: str | None, images: str | None = None) -> Backend:
    """`images`: one of the project's own sets, whatever else is to be had. Raises BadInput, MissingServer."""
    if asked == "docker":
        _run("engine")
    chosen = choose_backend(asked)
    if chosen.name == "docker":
        if images:
            use_own(images)
        elif not _named() and not _official_to_be_had():
            use_own(PREFERRED)
    return chosen


def use_own(images: str) -> None:
    """Builds the project's own set where it is not there, and names it in the environment."""
    _run("images")
    said = subprocess.run(
        [ready.ROOT / "ci" / "images", "--env", images], stdout=subprocess.PIPE, text=True, check=True
    )
    for line in said.stdout.splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        os.environ[name] = shlex.split(value)[0]


def _named() -> bool:
    return any(name.startswith(OVERRIDE) and value for name, value in os.environ.items())


def _official_to_be_had() -> bool:
    client = docker.from_env()
    registry = Registry.load()
    images = [Toxiproxy.image, *(registry.server(name).image for name in registry.names("servers"))]
    try:
        for image in images:
            try:
                client.images.get(image)
            except docker.errors.ImageNotFound:
                client.images.pull(image)
    except docker.errors.DockerException as refused:
        print(f"official images are not to be had here ({refused}); building the project's own", file=sys.stderr)
        return False
    finally:
        client.close()
    return True


def _run(script: str, *arguments: str) -> None:
    """Raises MissingServer where it cannot be had; the script has said why."""
    done = subprocess.run([ready.ROOT / "ci" / script, *arguments], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if done.returncode:
        raise MissingServer(f"ci/{script} ended with exit code {done.returncode}")


def add_options(parser: argparse.ArgumentParser) -> None:
    """`--backend` and `--images`, for `of`."""
    parser.add_argument(
        "--backend", choices=BACKENDS, help=f"where servers come from (default: ${VARIABLE}, else auto)"
    )
    parser.add_argument("--images", choices=OWN_SETS, help="on docker: the project's own images of these versions")


def of(options: argparse.Namespace) -> Backend:
    """As `backend`, by the options of `add_options`."""
    return backend(options.backend, options.images)


__all__ = ["OWN_SETS", "PREFERRED", "add_options", "backend", "of", "use_own"]
