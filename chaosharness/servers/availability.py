"""Where a server's program is, and whether it is ready: the looks that every file of servers/ shares.

In: names of programs, an instance and a check. Out: a path or None, or `MissingServer`; a return when it is ready, else
`ServerFailed` with the tail of its log. To try it: `suites/unit/test_servers_availability.py`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import chaosharness
from chaosharness.model.errors import MissingServer, ServerFailed, TimedOut
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Availability, Instance
from chaosharness.servers.logs import tail

CACHE = "CHAOSHARNESS_CACHE"
"""Environment: a folder whose `bin` holds servers that no package manager has."""
READY_WITHIN_S = 60.0
POLL_S = 0.02
TAIL_LINES = 60  # an Erlang program says the cause first, then forty lines of what followed from it


def cache_folders() -> Iterator[Path]:
    """The cache named by the environment alone; else `.cache` here, in a parent folder, or beside the package."""
    named = os.environ.get(CACHE)
    if named:
        yield Path(named)
        return
    here = Path.cwd()
    yield from (folder / ".cache" for folder in (here, *here.parents))
    yield from (folder / ".cache" for folder in Path(chaosharness.__file__).resolve().parents[1:])


def find_program(on_path: str, in_cache: Sequence[str] = ()) -> Path | None:
    """`on_path` on PATH, else the first of `in_cache` in the `bin` of a cache; None where there is neither."""
    found = shutil.which(on_path)
    if found:
        return Path(found)
    for folder in cache_folders():
        for name in in_cache:
            program = folder / "bin" / name
            if is_program(program):
                return program
    return None


def is_program(path: Path) -> bool:
    """A file that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


def program_of(found: Availability, title: str) -> str:
    """The program to run. Raises MissingServer with what is missing, and the command that adds it."""
    if not found.ok:
        raise MissingServer(f"{title} cannot be started: {found.how}. To add it: {found.remedy}")
    return found.how


def wait_until_ready(instance: Instance, check: Callable[[], bool], within_s: float = READY_WITHIN_S) -> None:
    """Polls `check` every 20 ms; `check` must itself be bounded.

    Raises ServerFailed, at once if the instance has no process any more, else after `within_s` seconds.
    """

    def look() -> bool:
        if check():
            return True
        if not instance.alive():
            raise ServerFailed(
                f"{instance.name} ended before it was ready for clients; {tail(instance.log, TAIL_LINES)}"
            )
        return False

    try:
        wait_for(f"{instance.name} to be ready for clients", within_s, look, poll_s=POLL_S)
    except TimedOut as error:
        raise ServerFailed(f"{error}; {tail(instance.log, TAIL_LINES)}") from None
