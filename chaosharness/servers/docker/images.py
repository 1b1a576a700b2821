"""Which image a server is run from, and that the engine has it.

Goes in: a server's name and its official image. Comes out: an `Image` that says who named it. To try it:

    CHAOSHARNESS_IMAGE_RABBITMQ=registry.example/rabbitmq:4.0 chaosharness run flows.toml --backend docker
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chaosharness.model.errors import BadInput

OVERRIDE = "CHAOSHARNESS_IMAGE_"
"""Environment: with the server's name in capitals, the image to run it from."""
PREFIX = "CHAOSHARNESS_IMAGE_PREFIX"
"""Environment: put before the official images, e.g. `mirror.example/`; an image that was named stands as it is."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image and who chose it, for the message where it is not to be had."""

    name: str
    named_by: str


def image_of(
    server: str, official: str, named: Mapping[str, str] | None = None, environ: Mapping[str, str] = os.environ
) -> Image:
    """The environment's, else the flow file's (`named`, its `[images]`), else the official one behind the prefix."""
    variable = OVERRIDE + server.upper()
    if environ.get(variable):
        return Image(environ[variable], variable)
    if named and server in named:
        return Image(named[server], f"[images] {server} of the flow file")
    prefix = environ.get(PREFIX, "")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    default = f"the default behind {PREFIX}" if prefix else "the default"
    others = f"{variable} or [images] {server} names another, and the backend local needs none"
    return Image(prefix + official, f"{default}; {others}")


def ensure(client: Any, image: str, named_by: str) -> None:
    """Pulls it where the engine does not have it. Raises BadInput naming the image and who named it."""
    # here: a local run, which asks for no image, need not load them
    import docker.errors
    import requests

    try:
        client.images.get(image)
        return
    except docker.errors.ImageNotFound:
        pass
    except docker.errors.APIError as refused:
        raise BadInput(f"{named_by}: {image!r} is no image name: {refused.explanation or refused}") from refused
    try:
        client.images.pull(image)
        client.images.get(image)
    except requests.Timeout as silent:
        raise _not_to_be_had(image, named_by, f"a pull comes to nothing within {client.api.timeout} s") from silent
    except docker.errors.DockerException as refused:
        said = getattr(refused, "explanation", None) or refused
        raise _not_to_be_had(image, named_by, f"a pull says: {said}") from refused


def _not_to_be_had(image: str, named_by: str, pull: str) -> BadInput:
    return BadInput(
        f"the image {image} is not to be had: the engine does not have it, and {pull} (named by: {named_by})"
    )


__all__ = ["OVERRIDE", "PREFIX", "Image", "ensure", "image_of"]
