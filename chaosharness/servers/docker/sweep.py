"""Removes what harnesses left on an engine: containers, networks and volumes, found by their labels.

Goes in: a session, or none for all whose owner is dead. Comes out: what was removed, and what the engine refuses to
remove. To try it: `chaosharness doctor --clean`. When its harness is gone, a keeper runs
`python -m chaosharness.servers.docker.sweep SESSION`.

Several sweeps may be at the same things at once, and the engine may still be making what its harness asked for: so a
refusal is no failure. What counts is that nothing is found any more.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import docker.errors

from chaosharness.model.errors import TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker import client as engine_client
from chaosharness.servers.docker.engine import find_engine
from chaosharness.servers.docker.labels import FOLDER, NAME, SESSION, OwnerState, owner_state

CALL_TIMEOUT_S = 15
WITHIN_S = 25.0
EXPECTED_S = 10.0
"""So long may the engine be making something that a harness asked for before its death. Measured: below 0.1 s."""
BACK_WITHIN_S = 10.0
"""For an engine that is just being restarted."""
POLL_S = 0.05
AT_ONCE = 4
KINDS = ("container", "network", "volume")
"""In the order of removal: networks and volumes are in use until their containers are gone."""


@dataclass(frozen=True, slots=True)
class Left:
    """Something with a harness's labels."""

    kind: str
    """`container` | `network` | `volume`"""
    id: str
    session: str
    name: str
    """The instance's; several may have been made of one name."""
    full_name: str
    """The engine's."""
    folder: str
    """The keeper's, on the owner's machine."""
    owner: OwnerState

    def __str__(self) -> str:
        return f"{self.kind} {self.id[:12]} ({self.name} of session {self.session}, owner {self.owner})"


@dataclass(frozen=True, slots=True)
class Swept:
    """What became of what dead owners left."""

    removed: tuple[Left, ...]
    refused: Mapping[Left, str]
    """In the engine's words."""


def connect(url: str, environ: Mapping[str, str] = os.environ) -> Any:
    """A client of the engine at `url`; close it. Raises docker.errors.DockerException, OSError."""
    return engine_client.connect({**environ, "DOCKER_HOST": url}, CALL_TIMEOUT_S)


def found(client: Any, session: str | None = None) -> list[Left]:
    """All that there is, of one session or of every."""
    wanted = {"label": f"{SESSION}={session}" if session else SESSION}
    return [
        Left(
            kind=kind,
            id=id,
            session=labels.get(SESSION, ""),
            name=labels.get(NAME, ""),
            full_name=full_name,
            folder=labels.get(FOLDER, ""),
            owner=owner_state(labels),
        )
        for kind, id, full_name, labels in _listed(client, wanted)
    ]


def sweep(client: Any, within_s: float = 0.0) -> Swept:
    """Removes what belongs to dead owners; what is refused is tried again for `within_s` seconds, at least once."""
    seen: dict[str, Left] = {}
    refused: Mapping[Left, str] = {}

    def clear() -> bool:
        nonlocal refused
        dead = [left for left in found(client) if left.owner is OwnerState.DEAD]
        seen.update({left.id: left for left in dead})
        refused = remove(client, dead)
        return not dead

    with suppress(TimedOut):
        wait_for("what dead owners left to be removed", within_s, clear, poll_s=POLL_S)
    return Swept(tuple(left for left in seen.values() if left not in refused), refused)


def remove_session(client: Any, session: str, expected: Collection[str] = ()) -> None:
    """Removes all of a session, until nothing of it is found. Raises TimedOut with what the engine refuses.

    `expected`: the names of what the engine was asked to make and has not answered for; it is waited for, since an
    engine goes on when who asked is gone. What is never made ends the wait after `EXPECTED_S`.
    """
    began = time.monotonic()
    seen: set[str] = set()
    refused: Mapping[Left, str] = {}

    def clear() -> bool:
        nonlocal refused
        left = found(client, session)
        seen.update(one.full_name for one in left)
        refused = remove(client, left)
        came = seen.issuperset(expected) or time.monotonic() - began > EXPECTED_S
        return came and not left

    what = f"everything of session {session} to be removed"
    wait_for(what, WITHIN_S, clear, poll_s=POLL_S, last_seen=lambda: _words(refused))


def remove(client: Any, all_left: Collection[Left]) -> Mapping[Left, str]:
    """Tries once; what the engine refused, with its words. What is gone already, or not yet there, is not refused."""
    refused: dict[Left, str] = {}
    for kind in KINDS:
        some = [left for left in all_left if left.kind == kind]
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            answers = list(pool.map(lambda left: _remove_one(client, left), some))
        refused.update({left: why for left, why in zip(some, answers, strict=True) if why})
    return refused


def _remove_one(client: Any, left: Left) -> str | None:
    try:
        match left.kind:
            case "container":
                client.api.remove_container(left.id, v=True, force=True)
            case "network":
                client.api.remove_network(left.id)
            case _:
                client.api.remove_volume(left.id, force=True)
    except docker.errors.NotFound:
        return None
    except docker.errors.APIError as refused:
        return str(refused.explanation or refused)
    return None


def _listed(client: Any, wanted: dict[str, str]) -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Kind, id, name, labels."""
    for one in client.api.containers(all=True, filters=wanted):
        yield "container", one["Id"], (one["Names"] or [""])[0].removeprefix("/"), one.get("Labels") or {}
    for one in client.api.networks(filters=wanted):
        yield "network", one["Id"], one["Name"], one.get("Labels") or {}
    for one in client.api.volumes(filters=wanted)["Volumes"] or ():
        yield "volume", one["Name"], one["Name"], one.get("Labels") or {}


def _words(refused: Mapping[Left, str]) -> str:
    return "; ".join(f"{left}: {why}" for left, why in refused.items()) or "nothing is refused"


def main(argv: list[str]) -> int:
    """`argv`: the session, then what the engine may still be making. The engine is the environment's."""
    lost: object = None

    def swept() -> bool:
        nonlocal lost
        engine = find_engine()
        if not engine.ok:
            lost = engine
            return False
        try:
            with closing(connect(engine.url, engine.settings)) as client:
                remove_session(client, argv[0], argv[1:])
        except (docker.errors.DockerException, OSError) as error:
            lost = error
            return False
        return True

    try:
        wait_for("the engine to answer", BACK_WITHIN_S, swept, poll_s=0.5, last_seen=lambda: lost)
    except TimedOut as failed:
        print(f"sweep: {failed}; `chaosharness doctor --clean` does it later", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
