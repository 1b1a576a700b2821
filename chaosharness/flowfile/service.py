"""`[flow.X.consumer]`, `[flow.X.producer]`, `[service.X]`: how to run a system under test.

In: the table, and the folder that relative paths start from. Out: a `Service` whose command is there (a container's is
looked for by Docker); its templates are checked later, when all flows that share it are known. To try it:
suites/unit/test_flowfile_good.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from chaosharness.flowfile.effect import HTTP_SPEC
from chaosharness.flowfile.lines import KeyPath
from chaosharness.flowfile.table import Table, found
from chaosharness.flowfile.templates import names_in
from chaosharness.model.flow import Producer, Service

MOST_REPLICAS = 64
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
"""Enough to tell a typing error; the engine knows all the rules."""


def read_service(
    table: Table, name: str, folder: Path, *, shared: bool = False, replicated: bool = True
) -> Service | None:
    """None, and a problem recorded, where it cannot be read. `replicated`: it may have more than one replica."""
    problems = table.problems
    before = len(problems)
    image = _image(table)
    command = table.text("command")
    if "command" not in table and "image" not in table:
        problems.add(table.path, 'a service needs its command: command = "python -m shop.payment", or an image')
    network = table.text("network")
    if network and "image" not in table:
        problems.add(table.at("network"), "only a container joins a network, and this service has no image")
    env = table.strings("env") or {}
    for variable in env:
        if not variable or "=" in variable or "\0" in variable:
            problems.add((*table.at("env"), variable), "no name of an environment variable")
    for variable in table.texts("pass_env") or ():
        if variable not in os.environ:
            problems.add(table.at("pass_env"), f"{variable} is not set here, so it cannot be passed on")
    service = Service(
        name=name,
        command=command or "",
        env=env,
        pass_env=table.texts("pass_env") or (),
        cwd=_cwd_inside(table) if "image" in table else _cwd(table, folder),
        replicas=(table.count("replicas", 1, MOST_REPLICAS) or 1) if replicated else 1,
        restart=table.choice("restart", ("always", "never"), "policy") or "always",
        stop_grace_s=_or(table.number("stop_grace_s", "seconds", zero=True), 10.0),
        image=image,
        network=network,
        shared=shared,
    )
    if command is not None and len(problems) == before:
        wrong = command_problem(service)
        if wrong:
            problems.add(table.at("command"), wrong)
    return service if len(problems) == before else None


def read_producer(table: Table, name: str, folder: Path) -> Producer | None:
    """A service that is driven: by lines on its standard input, or by requests to its `{port}`."""
    problems = table.problems
    before = len(problems)
    drive = table.text("drive") or "stdin"
    service = read_service(table, name, folder, replicated=False)
    if drive != "stdin" and not HTTP_SPEC.fullmatch(drive):
        problems.add(table.at("drive"), f'expected "stdin" or "METHOD /path", found {found(drive)}')
    elif drive != "stdin" and service and "port" not in _templates(service):
        problems.add(table.at("drive"), "the requests go to {port}, which neither command nor env names")
    table.close()
    return Producer(service, drive) if service and len(problems) == before else None


def texts_of(path: KeyPath, service: Service) -> Iterator[tuple[KeyPath, str]]:
    """Every string of the service in which templates stand, with its key path."""
    yield (*path, "command"), service.command
    for name, text in service.env.items():
        yield (*path, "env", name), text


def _templates(service: Service) -> set[str]:
    return {name for _, text in texts_of((), service) for name in names_in(text)}


def command_problem(service: Service, environ: Mapping[str, str] = os.environ) -> str | None:
    """Why the command cannot be started, or None. Found as it will be: on PATH, or relative to the service's folder.

    A container's is in its image: only its words are looked at.
    """
    try:
        argv = shlex.split(service.command)
    except ValueError as error:
        return f"cannot be split by shell rules: {error}: {found(service.command)}"
    if not argv or not argv[0]:
        return "expected a command, found nothing"
    program = argv[0]
    if service.image or names_in(program):
        return None
    if "/" in program:
        path = Path(service.cwd or ".", program)
        if not path.is_file():
            return f"command not found: {program} (looked for {path})"
        return None if os.access(path, os.X_OK) else f"command is not executable: {program} (chmod +x {path})"
    search = service.env.get("PATH") or environ.get("PATH") or os.defpath
    if names_in(search) or shutil.which(program, path=search):
        return None
    return f"command not found: {program} (on PATH: {search})"


def _image(table: Table) -> str | None:
    image = table.text("image")
    if image is not None and not IMAGE.fullmatch(image):
        table.wrong("image", 'the name of a container image, as in "shop/payment:1.2"')
    return image


def _cwd_inside(table: Table) -> str | None:
    given = table.text("cwd")
    if given is not None and not PurePosixPath(given).is_absolute():
        table.wrong("cwd", "an absolute path inside the container")
    return given


def _cwd(table: Table, folder: Path) -> str:
    given = table.text("cwd")
    path = Path(os.path.normpath(folder / (given or ".")))
    if given is not None and not path.is_dir():
        table.problems.add(table.at("cwd"), f"no such folder: {path}")
    return str(path)


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
