"""Ledger files read back: whole, merged into a history, or followed while they grow."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import msgspec

from chaosharness.ledger.writer import FORMAT, SUFFIX, Line
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind
from chaosharness.model.history import History

READ_AT_ONCE = 1 << 20

_decoder = msgspec.json.Decoder(Line)


class LedgerFile:
    """One file, read incrementally; a torn last line is left for the next read, or named a gap by `gaps`.

    It stays open between reads, since a wait reads it hundreds of times a second: close it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin = path.name.removesuffix(SUFFIX)
        self.clock: str | None = None
        self.ended = False
        self.faults: list[str] = []
        self._fd: int | None = None
        self._offset = 0
        self._seq = 0

    def close(self) -> None:
        """Idempotent; a read opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def read_on(self) -> list[Event]:
        """The complete lines that were written since the last call."""
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        data = b""
        while chunk := os.pread(self._fd, READ_AT_ONCE, self._offset + len(data)):
            data += chunk
        complete = data.rfind(b"\n") + 1
        self._offset += complete
        events = []
        for line in data[:complete].splitlines():
            event = self._parse(line)
            if event:
                events.append(event)
        return events

    def is_there(self) -> bool:
        """Whether its writer has made it yet."""
        return self._fd is not None or self.path.exists()

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
        return Event(read.seq, read.at_ns, self.origin, read.kind, read.keys, read.link, read.conn, read.data or {})

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
    with closing(LedgerFile(path)) as file:
        return file.read_on(), file.gaps()


def merge(folder: Path) -> History:
    """The history of one scenario's folder: every ledger file in it, by (time, file, sequence).

    Raises HarnessBroke where clocks cannot be compared (another boot, another time namespace) or no ledger is there.
    """
    files = [LedgerFile(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not files:
        raise HarnessBroke(f"{folder}: no ledger file (*{SUFFIX}) here")
    events: list[Event] = []
    for file in files:
        with closing(file):
            events += file.read_on()
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

    def close(self) -> None:
        """Closes the files; idempotent."""
        for file in self._files:
            file.close()

    def poll(self) -> list[Event]:
        """Events since the last poll, in order of time among themselves."""
        events = [event for file in self._files if file.is_there() for event in file.read_on()]
        events.sort(key=lambda e: (e.at_ns, e.origin, e.seq))
        return events
