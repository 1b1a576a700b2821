"""`command`: a service as its own process tree, in a clean environment, split by shell rules, run without a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from chaosharness.model.errors import BadInput
from chaosharness.model.flow import Service
from chaosharness.ports.launch import Recipe

INHERITED = ("PATH", "HOME", "LANG")
DEFAULTS = {"LANG": "C.UTF-8"}


def clean_environment(service: Service, temporary: Path) -> dict[str, str]:
    """PATH, HOME, LANG and TMPDIR, and what `pass_env` names. Raises BadInput for a name that is not set."""
    inherited = {name: os.environ.get(name, DEFAULTS.get(name, "")) for name in INHERITED}
    # The service runs in a folder of its own: `.venv/bin` must mean what it means here.
    inherited["PATH"] = os.pathsep.join(os.path.abspath(one) for one in inherited["PATH"].split(os.pathsep) if one)
    return {**inherited, **passed_on(service), "TMPDIR": str(temporary)}


def passed_on(service: Service) -> dict[str, str]:
    """What `pass_env` names, as it is here. Raises BadInput for a name that is not set."""
    for name in service.pass_env:
        if name not in os.environ:
            raise BadInput(f"{service.name}: pass_env names {name}, which is not set here")
    return {name: os.environ[name] for name in service.pass_env}


def command_recipe(
    service: Service,
    instance: str,
    fill: Callable[[str], str],
    folder: Path,
    stdio: tuple[int, int] | None = None,
) -> Recipe:
    """A recipe for one replica. `fill` replaces templates; `folder` gets its log and its TMPDIR, kept over restarts."""
    temporary = folder / f"{instance}.tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    env: Mapping[str, str] = {name: fill(value) for name, value in service.env.items()}
    return Recipe(
        name=instance,
        argv=tuple(fill(word) for word in shlex.split(service.command)),
        env={**clean_environment(service, temporary), **env},
        folder=Path(service.cwd) if service.cwd else folder,
        log=folder / f"{instance}.log",
        restart=service.restart,
        stdio=stdio,
    )
