"""One process's ledger file.

An append is one `os.write` of one line: once it has returned it survives SIGKILL of the writer (the page cache has it).
Stamp, sequence number and write happen under one lock, so that the order in the file is the order of the stamps.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event, Kind, Sighting

FORMAT = 1
SUFFIX = ".ledger.jsonl"

_encoder = msgspec.json.Encoder()


def clock_domain() -> str:
    """Boot and time namespace: CLOCK_MONOTONIC of two processes may be compared only where this is the same."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    try:
        namespace = os.readlink("/proc/self/ns/time")
    except OSError:  # a kernel before 5.6 has one time namespace
        namespace = "time:[host]"
    return f"{boot} {namespace}"


class Ledger:
    """Appends events to `FOLDER/ORIGIN.ledger.jsonl`. Thread-safe. Raises HarnessBroke if the disk refuses a write."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.path = folder / f"{origin}{SUFFIX}"
        self.origin = origin
        self._lock = threading.Lock()
        self._seq = 0
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL | os.O_CLOEXEC, 0o644)
        header = {
            "ledger": FORMAT,
            "origin": origin,
            "pid": os.getpid(),
            "clock": clock_domain(),
            "unix_s": time.time(),
        }
        self._write(_encoder.encode(header) + b"\n")

    def append(
        self,
        kind: Kind,
        keys: Sequence[str] = (),
        *,
        link: str | None = None,
        conn: int | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Writes one event and returns it; when this returns, a SIGKILL of this process does not lose it."""
        with self._lock:
            event = Event(
                self._seq + 1, time.monotonic_ns(), self.origin, kind, tuple(keys), link, conn, dict(data or {})
            )
            self._write(_line(event.seq, event.at_ns, kind, event.keys, link, conn, event.data))
            self._seq = event.seq
        return event

    def append_all(self, sightings: Sequence[Sighting], *, link: str, conn: int) -> None:
        """Writes one event for each, in one write: all of them survive a SIGKILL when this returns, or none may."""
        with self._lock:
            lines = [
                _line(seq, time.monotonic_ns(), one.kind, one.keys, link, conn, one.data)
                for seq, one in enumerate(sightings, self._seq + 1)
            ]
            self._write(b"".join(lines))
            self._seq += len(lines)

    def end(self) -> None:
        """Writes the END line, which says that nothing is missing after it, and closes the file. Idempotent."""
        if self._fd >= 0:
            self.append(Kind.END)
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """Closes the file without its END line: what a reader then sees is a gap."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._fd, line)
            while written < len(line):  # a short write: a nearly full disk or a signal
                written += os.write(self._fd, line[written:])
        except OSError as refused:
            raise HarnessBroke(
                f"ledger {self.path}: cannot append ({refused}); what was recorded before is kept"
            ) from refused


def _line(
    seq: int,
    at_ns: int,
    kind: Kind,
    keys: Sequence[str],
    link: str | None,
    conn: int | None,
    data: Mapping[str, Any],
) -> bytes:
    """One event as a line; fields that are empty are left out."""
    line: dict[str, Any] = {"seq": seq, "at_ns": at_ns, "kind": kind.value}
    if keys:
        line["keys"] = keys
    if link is not None:
        line["link"] = link
    if conn is not None:
        line["conn"] = conn
    if data:
        line["data"] = data
    return _encoder.encode(line) + b"\n"
