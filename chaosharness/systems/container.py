"""`container`: a service as an image, run by Docker: its own environment and command, but for what the flow says."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from chaosharness.model.flow import Service
from chaosharness.ports.launch import ContainerRecipe
from chaosharness.systems.command import passed_on

HTTP = "http"
"""The node of a producer that is driven by HTTP."""


def container_recipe(
    service: Service,
    instance: str,
    fill: Callable[[str], str],
    folder: Path,
    *,
    host: str,
    port: int | None = None,
    stdio: tuple[int, int] | None = None,
) -> ContainerRecipe:
    """A recipe for one replica. `fill` replaces templates; `folder` gets its log; `host`: its name, kept over restarts.

    `port`: what it listens on inside, as the node `http`. Raises BadInput for a name in `pass_env` that is not set.
    """
    assert service.image
    return ContainerRecipe(
        name=instance,
        image=service.image,
        env={**passed_on(service), **{name: fill(value) for name, value in service.env.items()}},
        log=folder / f"{instance}.log",
        command=tuple(fill(word) for word in shlex.split(service.command)),
        ports={} if port is None else {HTTP: port},
        hostname=host,
        workdir=service.cwd,
        network=service.network,
        service=True,
        restart=service.restart,
        stdio=stdio,
    )
