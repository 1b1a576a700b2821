"""What an append to the ledger costs: against bare writes of the same bytes to a file of its own, in turns.

In: a folder. Out: processor time in µs an event and the ratio to the bare write, for each round. Part of `ci/bench`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chaosharness.ledger.writer import Ledger
from chaosharness.model.event import Kind, Sighting
from chaosharness.model.key import make_key

GOAL = 2.0
"""At most this many times a bare write."""
EVENTS = 5_000
ROUNDS = 15
AT_ONCE = 20
"""Sightings in one write, where one read of a tap brought as many."""
LINK, CONN = "payment.0>broker.0", 3
KEYS = [(make_key("kabcd", number),) for number in range(EVENTS)]
SIGHTINGS = [Sighting(Kind.DELIVER, key, {"redelivered": False, "settled": False, "how": "push"}) for key in KEYS]
Seconds = float


def measure(folder: Path) -> dict[str, list[float]]:
    """µs an event: `bare`, `append` and `append_all`; `append_to_bare` and `append_all_to_bare` of each round."""
    lines = _lines(folder)
    ways: dict[str, Callable[[Path], Seconds]] = {
        "bare": lambda path: _bare(path, lines),
        "append": _append,
        "append_all": _append_all,
    }
    found: dict[str, list[float]] = {}
    for number in range(ROUNDS + 1):
        took = {}
        for way in random.Random(number).sample(sorted(ways), len(ways)):
            path = folder / f"ledger-{number}-{way}"
            path.mkdir()
            took[way] = ways[way](path)
        if number:  # the first round warms up
            for way, seconds in took.items():
                found.setdefault(way, []).append(seconds * 1e6 / EVENTS)
                if way != "bare":
                    found.setdefault(f"{way}_to_bare", []).append(seconds / took["bare"])
    return found


def _lines(folder: Path) -> Sequence[bytes]:
    """What the ledger writes for these events, a line each."""
    ledger = Ledger(folder, "lines")
    for one in SIGHTINGS:
        ledger.append(one.kind, one.keys, link=LINK, conn=CONN, data=one.data)
    ledger.end()
    return ledger.path.read_bytes().splitlines(keepends=True)[1:-1]


def _bare(folder: Path, lines: Sequence[bytes]) -> Seconds:
    fd = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    write = os.write
    began = time.thread_time()
    for line in lines:
        write(fd, line)
    took = time.thread_time() - began
    os.close(fd)
    return took


def _append(folder: Path) -> Seconds:
    ledger = Ledger(folder, "relay")
    append = ledger.append
    events = [(one.kind, one.keys, one.data) for one in SIGHTINGS]
    began = time.thread_time()
    for kind, keys, data in events:
        append(kind, keys, link=LINK, conn=CONN, data=data)
    took = time.thread_time() - began
    ledger.end()
    return took


def _append_all(folder: Path) -> Seconds:
    ledger = Ledger(folder, "relay")
    reads = [SIGHTINGS[first : first + AT_ONCE] for first in range(0, EVENTS, AT_ONCE)]
    began = time.thread_time()
    for read in reads:
        ledger.append_all(read, link=LINK, conn=CONN)
    took = time.thread_time() - began
    ledger.end()
    return took
