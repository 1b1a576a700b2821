"""`chaosharness doctor`: what this machine can run, on which backend, and what dead harnesses left on its engine.

Goes in: the environment, entry points, an engine if one answers. Comes out: text or JSON; nothing is started or pulled,
and nothing is removed without `--clean`. To try it: `chaosharness doctor`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.ports.launch import Availability, Server
from chaosharness.registry import Registry
from chaosharness.servers.docker.engine import Engine, find_engine
from chaosharness.servers.toxiproxy import Toxiproxy
from chaosharness.session.backend import VARIABLE, Backend, choose_backend

if TYPE_CHECKING:
    from chaosharness.servers.docker.sweep import Left

CLEAN_WITHIN_S = 15.0


@dataclass(frozen=True, slots=True)
class ImageState:
    """The image that a server would be run from."""

    server: str
    image: str
    named_by: str
    there: bool
    problem: str = ""
    """Why the engine cannot have an image of that name."""


@dataclass(frozen=True, slots=True)
class OnEngine:
    """An engine and what it has of ours."""

    engine: Engine
    images: Sequence[ImageState] = ()
    left: Sequence[Left] = ()
    removed: Sequence[Left] = ()
    refused: Mapping[Left, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.engine.ok and not any(image.problem for image in self.images)


def doctor(options: argparse.Namespace) -> int:
    """Exit code 0 if a backend can run every server and every plugin is sound, else 2; 4 if `--clean` is refused."""
    registry = Registry.load()
    broken = registry.check_all()
    servers = [Toxiproxy(), *_sound_servers(registry)]
    local = [server.available() for server in servers]
    auto = choose_backend("auto")
    docker = _on_engine(auto.engine or find_engine(), servers, options.clean)
    backends = {"docker": docker.ok, "local": all(one.ok for one in local)}
    if options.json:
        print(json.dumps(_document(auto, backends, docker, local, broken), indent=2, ensure_ascii=False))
    else:
        print(*_lines(auto, docker, local, broken), sep="\n")
    if options.clean and docker.refused:
        return HarnessBroke.exit_code
    usable = any(backends.values()) and not broken and (docker.engine.ok or not options.clean)
    return 0 if usable else BadInput.exit_code


def _sound_servers(registry: Registry) -> Iterator[Server]:
    for name in registry.names("servers"):
        try:
            yield registry.server(name)
        except BadInput:
            continue  # `check_all` tells of it, with its reason


def _on_engine(engine: Engine, servers: Iterable[Server], clean: bool) -> OnEngine:
    if not engine.ok:
        return OnEngine(engine)
    import docker.errors  # here: it takes time to load, and a machine may have no engine

    from chaosharness.servers.docker.sweep import connect, found, sweep

    try:
        with closing(connect(engine.url, engine.settings)) as client:
            images = [_image(client, server) for server in servers]
            swept = sweep(client, CLEAN_WITHIN_S) if clean else None
            left = found(client)
    except (docker.errors.DockerException, OSError) as lost:
        return OnEngine(replace(engine, version=None, problem=f"it gave its version, and then: {lost}"))
    return OnEngine(engine, images, left, swept.removed if swept else (), swept.refused if swept else {})


def _image(client: Any, server: Server) -> ImageState:
    import docker.errors

    from chaosharness.servers.docker.images import image_of

    image = image_of(server.name, server.image)
    there, problem = True, ""
    try:
        client.api.inspect_image(image.name)
    except docker.errors.ImageNotFound:
        there = False
    except docker.errors.APIError as refused:
        there, problem = False, f"the engine refuses the name: {refused.explanation or refused}"
    return ImageState(server.name, image.name, image.named_by, there, problem)


def _document(
    auto: Backend, backends: Mapping[str, bool], docker: OnEngine, local: Sequence[Availability], broken: Sequence[str]
) -> dict[str, Any]:
    return {
        "auto": {"backend": auto.name, "why": auto.why},
        "backends": dict(backends),
        "docker": {
            **asdict(docker.engine),
            "images": [asdict(image) for image in docker.images],
            "left": [asdict(left) for left in docker.left],
            "removed": [asdict(left) for left in docker.removed],
            "refused": [{**asdict(left), "why": why} for left, why in docker.refused.items()],
        },
        "servers": [asdict(one) for one in local],
        "plugins": list(broken),
    }


def _lines(auto: Backend, docker: OnEngine, local: Sequence[Availability], broken: Sequence[str]) -> Iterator[str]:
    named = os.environ.get(VARIABLE)
    yield f"auto takes {auto}" + (f"; {VARIABLE}={named} goes before it" if named else "")
    yield f"docker: {docker.engine}"
    if docker.engine.remedy:
        yield f"  to have it: {docker.engine.remedy}"
    for image in docker.images:
        state = "there" if image.there else image.problem or "a run pulls it"
        by = image.named_by.partition(";")[0]  # what else could name it is told where it is missed
        yield f"  {image.server:<12} {image.image}: {state} ({by})"
    if docker.engine.ok:
        yield from _left_lines(docker)
    yield "local: processes of this machine"
    for one in local:
        yield f"  {one.server:<12} {one.version or 'unknown version' if one.ok else 'missing':<10} {one.how}"
        if not one.ok:
            yield f"  {'':<12} to add it: {one.remedy}"
    yield from (f"plugin: {problem}" for problem in broken)


def _left_lines(docker: OnEngine) -> Iterator[str]:
    for session, some in _by_session(docker.removed).items():
        yield f"  removed {_counted(some)} of session {session}, whose harness is gone{_where(some)}"
    for left, why in docker.refused.items():
        yield f"  not removed: {left}: {why}"
    by_owner: dict[str, list[Left]] = {}
    for left in docker.left:
        by_owner.setdefault(left.owner, []).append(left)
    for session, some in _by_session(by_owner.get("dead", [])).items():
        yield f"  left behind: {_counted(some)} of session {session}{_where(some)}"
    if by_owner.get("dead"):
        yield "  `chaosharness doctor --clean` removes what is left behind"
    if alive := by_owner.get("alive"):
        yield f"  in use: {_counted(alive)} of {len(_by_session(alive))} sessions that run now"
    if elsewhere := by_owner.get("elsewhere"):
        yield f"  of other machines or pid namespaces, and not known from here to be dead: {_counted(elsewhere)}"
    if not by_owner:
        yield "  nothing is left behind"


def _by_session(some: Iterable[Left]) -> Mapping[str, list[Left]]:
    found: dict[str, list[Left]] = {}
    for left in some:
        found.setdefault(left.session, []).append(left)
    return found


def _counted(some: Iterable[Left]) -> str:
    """`2 containers, 1 network`."""
    counts = Counter(left.kind for left in some)
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(counts.items()))


def _where(some: Sequence[Left]) -> str:
    return f" ({some[0].folder})" if some[0].folder else ""


__all__ = ["doctor"]
