"""One process's ledger file.

An append is one `os.write` of one line: once it has returned it survives SIGKILL of the writer (the page cache has it).
Stamp, sequence number and write happen under one lock, so that the order in the file is the order of the stamps.

Appending is the harness's hottest path: `ci/bench` holds it against a bare write of the same bytes.
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
from chaosharness.model.event import Kind, Sighting

FORMAT = 1
SUFFIX = ".ledger.jsonl"


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The shape of an event's line; fields that are empty are left out."""

    seq: int
    at_ns: int
    kind: Kind
    keys: tuple[str, ...] = ()
    link: str | None = None
    conn: int | None = None
    data: Mapping[str, Any] | None = None


_encoder = msgspec.json.Encoder()
_encode_into = _encoder.encode_into
_now_ns = time.monotonic_ns
_write = os.write
_NEWLINE = ord("\n")


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
        self._line = bytearray()
        """Under the lock: every line is encoded into the same memory."""
        self._refused: str | None = None
        """Why nothing can be appended any more."""
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
    ) -> int:
        """Writes one event and returns its number; when this returns, a SIGKILL of this process does not lose it."""
        lock = self._lock
        lock.acquire()  # `with` would take a third of the time that the write itself takes
        try:
            seq = self._seq + 1
            line = self._line
            _encode_into(Line(seq, _now_ns(), kind, tuple(keys), link, conn, data or None), line)
            line.append(_NEWLINE)
            written = _write(self._fd, line)
            if written != len(line):
                self._write(line[written:])
            self._seq = seq
            return seq
        except OSError as refused:
            raise self._refusal(refused) from refused
        finally:
            lock.release()

    def append_all(self, sightings: Sequence[Sighting], *, link: str, conn: int) -> None:
        """Writes one event for each, in one write: all of them survive a SIGKILL when this returns, or none may."""
        with self._lock:
            lines = [
                Line(seq, _now_ns(), one.kind, one.keys, link, conn, one.data or None)
                for seq, one in enumerate(sightings, self._seq + 1)
            ]
            self._write(_encoder.encode_lines(lines))
            self._seq += len(lines)

    def end(self) -> None:
        """Writes the END line, which says that nothing is missing after it, and closes the file. Idempotent."""
        if self._refused:
            raise HarnessBroke(self._refused)
        if self._fd >= 0:
            self.append(Kind.END)
            os.close(self._fd)
            self._fd = -1

    def abandon(self) -> None:
        """Closes the file without its END line: what a reader then sees is a gap."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, lines: bytes | bytearray) -> None:
        try:
            written = _write(self._fd, lines)
            while written < len(lines):  # a short write: a nearly full disk or a signal
                written += _write(self._fd, lines[written:])
        except OSError as refused:
            raise self._refusal(refused) from refused

    def _refusal(self, refused: OSError) -> HarnessBroke:
        """Ends the record: a line behind a torn one could not be read, and would be lost after it was acknowledged."""
        if self._refused is None:
            self._refused = f"ledger {self.path}: cannot append ({refused}); what was recorded before is kept"
            self.abandon()
        return HarnessBroke(self._refused)
