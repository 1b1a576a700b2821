"""Where a run's servers come from: containers, where a Docker Engine answers, else processes of this machine.

Goes in: an option, the environment. Comes out: a `Backend` that says why. To try it: the first line of `pytest`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Flow
from chaosharness.model.names import did_you_mean
from chaosharness.servers.docker.engine import Engine, find_engine

BACKENDS = ("auto", "docker", "local")
VARIABLE = "CHAOSHARNESS_BACKEND"
"""Environment: the backend where no option names one."""


@dataclass(frozen=True, slots=True)
class Backend:
    """The one that was chosen."""

    name: str
    """`docker` | `local`"""
    why: str
    """`engine 28.2 at unix:///var/run/docker.sock answers`"""
    asked: bool = False
    """By an option: what reproduces a run then says so too."""
    engine: Engine | None = None
    """Of docker; one that does not answer is found out when the first server is started."""

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


def choose_backend(asked: str | None, option: str = "--backend", environ: Mapping[str, str] = os.environ) -> Backend:
    """`asked`, else the environment's, else `auto`, i.e. docker if an engine answers. Raises BadInput."""
    where, named = (option, asked) if asked else (VARIABLE, environ.get(VARIABLE) or "auto")
    if named not in BACKENDS:
        raise BadInput(f"{where}: unknown backend {named!r}{did_you_mean(named, BACKENDS)}")
    if named == "local":
        return Backend("local", f"{where} says so", bool(asked))
    engine = find_engine(environ)
    if named == "docker":
        return Backend("docker", f"{engine}; {where} says so", bool(asked), engine)
    if engine.ok:
        return Backend("docker", f"{engine} answers", engine=engine)
    return Backend("local", f"no Docker engine answers: {engine}")


def check_images(backend: Backend, flows: Iterable[Flow]) -> None:
    """Raises BadInput naming each service that is an image where there are no containers."""
    if backend.name == "local":
        named = [f"{by}: the image {image} needs the backend docker" for image, by in images_of(flows).items()]
        if named:
            raise BadInput("\n".join([*named, f"`--backend docker` runs it; the backend here is {backend}"]))


def images_of(flows: Iterable[Flow]) -> dict[str, str]:
    """The images of the flows' services, each with the first place that names it: `flow payment, consumer.image`."""
    found: dict[str, str] = {}
    for flow in flows:
        consumer, producer = flow.consumer, flow.producer.service if flow.producer else None
        if consumer and consumer.image:
            by = f"service {consumer.name}, image" if consumer.shared else f"flow {flow.name}, consumer.image"
            found.setdefault(consumer.image, by)
        if producer and producer.image:
            found.setdefault(producer.image, f"flow {flow.name}, producer.image")
    return found


__all__ = ["BACKENDS", "VARIABLE", "Backend", "check_images", "choose_backend", "images_of"]
