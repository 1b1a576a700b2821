"""Literal histories for tests: one line per event.

    +2s deliver k1 @payment.0>broker.0#4 redelivered=true settled=false

An optional pause (each line also takes 1 ms), the kind, the keys joined by commas, the link and connection number, and
the data: JSON where it is JSON, else a bare word. The origin follows from the kind. `#` at the start is a comment.
Every ledger is closed at the end, but for those in `unended`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from chaosharness.model.event import Event, Kind
from chaosharness.model.history import History

KEEPER = {Kind.STARTED, Kind.SIGNALLED, Kind.EXITED, Kind.BOUNDED}
HARNESS = {
    Kind.INVOKE, Kind.COMPLETE, Kind.FAULT_INJECTED, Kind.FAULT_HEALED, Kind.STEP, Kind.READY, Kind.KEPT_BACK,
    Kind.DRAIN_STARTED, Kind.DRAINED, Kind.DRAIN_EXPIRED, Kind.RESTARTED_AFRESH, Kind.QUIET, Kind.STOPPED, Kind.YIELDS,
    Kind.PARKED, Kind.BYPASS, Kind.NOTE,
}  # fmt: skip
LINE = re.compile(r"(?:\+(?P<pause>[\d.]+)(?P<unit>m?s)\s+)?(?P<kind>\w+)(?P<rest>.*)")
DATA = re.compile(r'(\w+)=("[^"]*"|\{.*?\}|\[.*?\]|\S+)')
WHERE = re.compile(r"\s@(?P<link>\S+?)#(?P<conn>\d+)")


def history(text: str, gaps: Iterable[str] = (), unended: Iterable[str] = ()) -> History:
    """The lines as a history. Raises ValueError for a line that is none."""
    return History.merged([*close(events(text), unended)], tuple(gaps))


def events(text: str) -> list[Event]:
    """The lines alone, without the ends."""
    found: list[Event] = []
    numbers: Counter[str] = Counter()
    now_ns = 1_000_000_000
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise ValueError(f"not an event: {line}")
        scale = 1_000_000_000 if match["unit"] == "s" else 1_000_000
        now_ns += 1_000_000 + (int(float(match["pause"]) * scale) if match["pause"] else 0)
        kind = Kind(match["kind"])
        origin = "keeper" if kind in KEEPER else "harness" if kind in HARNESS else "relay"
        numbers[origin] += 1
        found.append(_event(numbers[origin], now_ns, origin, kind, match["rest"]))
    return found


def close(found: list[Event], unended: Iterable[str] = ()) -> list[Event]:
    """The events, with an `end` for every origin but those in `unended`."""
    origins = Counter(event.origin for event in found)
    last_ns = max((event.at_ns for event in found), default=0)
    ends = [Event(origins[o] + 1, last_ns + 1_000_000, o, Kind.END) for o in sorted(origins) if o not in set(unended)]
    return [*found, *ends]


def _event(seq: int, at_ns: int, origin: str, kind: Kind, rest: str) -> Event:
    where = WHERE.search(rest)
    rest = WHERE.sub("", rest)
    data = {name: _value(text) for name, text in DATA.findall(rest)}
    keys = [word for word in DATA.sub("", rest).split() if word]
    if len(keys) > 1:
        raise ValueError(f"more than one word for the keys: {keys}")
    return Event(
        seq, at_ns, origin, kind, tuple(keys[0].split(",")) if keys else (),
        where["link"] if where else None, int(where["conn"]) if where else None, data,
    )  # fmt: skip


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def without(text: str, *lines: str) -> str:
    """Leaves out the lines that contain any of `lines`. Raises ValueError if one of them is nowhere."""
    for wanted in lines:
        if wanted not in text:
            raise ValueError(f"no such line: {wanted}")
    return "\n".join(line for line in text.splitlines() if not any(wanted in line for wanted in lines))


def change(text: str, old: str, new: str) -> str:
    """Replaces the one place where `old` stands. Raises ValueError if it is not exactly one."""
    if text.count(old) != 1:
        raise ValueError(f"{text.count(old)} places have {old!r}")
    return text.replace(old, new)


def insert(text: str, before: str, lines: str) -> str:
    """Puts `lines` before the first line that starts with `before`. Raises ValueError if there is none."""
    rows = text.splitlines()
    for at, row in enumerate(rows):
        if row.strip().startswith(before):
            return "\n".join([*rows[:at], lines, *rows[at:]])
    raise ValueError(f"no line starts with {before!r}")
