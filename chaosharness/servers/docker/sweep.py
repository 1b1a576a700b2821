"""Removes what harnesses left on an engine: containers, networks and volumes, found by their labels.

Goes in: a session, or none for all whose owner is dead. Comes out: what was removed. To try it:
`chaosharness doctor --clean`, or `python -m chaosharness.servers.docker.sweep SESSION`, which is what the keeper runs
when its harness is gone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors
import requests

from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.labels import FOLDER, NAME, SESSION, OwnerState, owner_state

SETTLE_S = 1.0
"""A container that was asked for just before its harness died may still be on its way: nothing for so long."""
WITHIN_S = 30.0
AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Left:
    """Something with a harness's labels."""

    kind: str
    """`container` | `network` | `volume`"""
    id: str
    session: str
    name: str
    folder: str
    """The keeper's, on the owner's machine."""
    owner: OwnerState

    def __str__(self) -> str:
        return f"{self.kind} {self.id[:12]} ({self.name} of session {self.session}, owner {self.owner})"


def found(client: Any, session: str | None = None) -> list[Left]:
    """All that there is, of one session or of every."""
    wanted = {"label": f"{SESSION}={session}" if session else SESSION}
    return [
        Left(kind, id, *(labels.get(key, "") for key in (SESSION, NAME, FOLDER)), owner_state(labels))
        for kind, id, labels in _listed(client, wanted)
    ]


def sweep(client: Any) -> list[Left]:
    """Removes what belongs to dead owners, and returns it. Raises docker.errors.APIError where that is refused."""
    dead = [left for left in found(client) if left.owner is OwnerState.DEAD]
    remove(client, dead)
    return dead


def remove_session(client: Any, session: str, settle_s: float = 0.0) -> None:
    """Removes all of a session, until nothing of it has been there for `settle_s`. Raises TimedOut."""
    clear_since: float | None = None

    def clear() -> bool:
        nonlocal clear_since
        left = found(client, session)
        remove(client, left)
        now = time.monotonic()
        clear_since = (clear_since or now) if not left else None
        return clear_since is not None and now - clear_since >= settle_s

    wait_for(f"everything of session {session} to be removed", WITHIN_S, clear, poll_s=0.1)


def remove(client: Any, all_left: list[Left]) -> None:
    """Containers first, as networks and volumes are in use until they are gone."""
    for kind in ("container", "network", "volume"):
        some = [left for left in all_left if left.kind == kind]
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            list(pool.map(lambda left: _remove_one(client, left), some))


def _remove_one(client: Any, left: Left) -> None:
    remove: dict[str, Callable[[], Any]] = {
        "container": lambda: client.api.remove_container(left.id, v=True, force=True),
        "network": lambda: client.api.remove_network(left.id),
        "volume": lambda: client.api.remove_volume(left.id, force=True),
    }
    try:
        remove[left.kind]()
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as refused:
        # somebody else removes it at this moment, or a network's last container is still on its way out
        if refused.status_code not in (403, 409, 500):
            raise


def _listed(client: Any, wanted: dict[str, str]) -> Iterator[tuple[str, str, dict[str, str]]]:
    for one in client.api.containers(all=True, filters=wanted):
        yield "container", one["Id"], one.get("Labels") or {}
    for one in client.api.networks(filters=wanted):
        yield "network", one["Id"], one.get("Labels") or {}
    for one in client.api.volumes(filters=wanted)["Volumes"] or ():
        yield "volume", one["Name"], one.get("Labels") or {}


def main(argv: list[str]) -> int:
    """`argv`: the session. The engine is the environment's."""
    client = docker.from_env(use_ssh_client=True)
    with suppress(requests.ConnectionError):  # no engine any more: nothing of its either
        remove_session(client, argv[0], SETTLE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
