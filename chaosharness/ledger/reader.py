"""Ledger files read back: whole, merged into a history, or followed while they grow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaosharness.ledger.writer import FORMAT, SUFFIX
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind
from chaosharness.model.history import History


class _Line(msgspec.Struct):
    """The shape of an event's line."""

    seq: int
    at_ns: int
    kind: Kind
    keys: tuple[str, ...] = ()
    link: str | None = None
    conn: int | None = None
    data: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Line)


class LedgerFile:
    """One file, read incrementally; a torn last line is left for the next read, or named a gap by `gaps`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = path.name.removesuffix(SUFFIX)
        self.clock: str | None = None
        self.ended = False
        self.faults: list[str] = []
        self._offset = 0
        self._seq = 0

    def read_on(self) -> list[Event]:
        """The complete lines that were written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        complete = data.rfind(b"\n") + 1
        self._offset += complete
        events = []
        for line in data[:complete].splitlines():
            event = self._parse(line)
            if event:
                events.append(event)
        return events

    def gaps(self) -> list[str]:
        """What the file lacks, in words, as far as it was read."""
        found = list(self.faults)
        torn = os.path.getsize(self.path) - self._offset
        if torn:
            found.append(f"{self.path.name}: the last line is torn ({torn} bytes after event {self._seq})")
        if self.clock is None:
            found.append(f"{self.path.name}: no header line")
        elif not self.ended:
            found.append(f"{self.path.name}: not closed by its writer after event {self._seq}")
        return found

    def _parse(self, line: bytes) -> Event | None:
        if self.clock is None:
            self._parse_header(line)
            return None
        try:
            read = _decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as bad:
            self.faults.append(f"{self.path.name}: unreadable line after event {self._seq}: {bad}")
            return None
        if read.seq != self._seq + 1:
            self.faults.append(f"{self.path.name}: event {self._seq} is followed by {read.seq}")
        if self.ended:
            self.faults.append(f"{self.path.name}: event {read.seq} stands after the end")
        self._seq = read.seq
        self.ended = read.kind is Kind.END
        return Event(read.seq, read.at_ns, self.origin, read.kind, read.keys, read.link, read.conn, read.data)

    def _parse_header(self, line: bytes) -> None:
        try:
            header = json.loads(line)
            known = header.get("ledger") == FORMAT
        except (ValueError, AttributeError):
            known = False
        if not known:
            self.faults.append(f"{self.path.name}: expected a ledger header of format {FORMAT}, found {line[:60]!r}")
            self.clock = "unknown"
            return
        self.clock = str(header.get("clock"))
        self.origin = str(header.get("origin", self.origin))


def read(path: Path) -> tuple[list[Event], list[str]]:
    """All events of one file up to its last complete line, and its gaps."""
    file = LedgerFile(path)
    events = file.read_on()
    return events, file.gaps()


def merge(folder: Path) -> History:
    """The history of one scenario's folder: every ledger file in it, by (time, file, sequence).

    Raises HarnessBroke where clocks cannot be compared (another boot, another time namespace) or no ledger is there.
    """
    files = [LedgerFile(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not files:
        raise HarnessBroke(f"{folder}: no ledger file (*{SUFFIX}) here")
    events = [event for file in files for event in file.read_on()]
    clocks = {file.clock for file in files if file.clock not in (None, "unknown")}
    if len(clocks) > 1:
        raise HarnessBroke(
            f"{folder}: ledger files of different boots or time namespaces cannot be merged: {sorted(map(str, clocks))}"
        )
    return History.merged(events, tuple(gap for file in files for gap in file.gaps()))


class Follower:
    """The ledger files of one folder while they grow: what the harness waits by."""

    def __init__(self, folder: Path, origins: Sequence[str]) -> None:
        self._files = [LedgerFile(folder / f"{origin}{SUFFIX}") for origin in origins]

    def poll(self) -> list[Event]:
        """Events since the last poll, in order of time among themselves."""
        events = [event for file in self._files if file.path.exists() for event in file.read_on()]
        events.sort(key=lambda e: (e.at_ns, e.origin, e.seq))
        return events
