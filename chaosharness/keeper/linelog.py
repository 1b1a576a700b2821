"""A process's output as a log: each line with the wall-clock time at which it was read.

Goes in: bytes, in any pieces. Comes out: lines of text in a file, written through, bounded in length and in sum.
To try it: `suites/unit/test_keeper_linelog.py`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

LINE_BYTES = 8 * 1024
"""A longer line is broken into lines of this length."""
LOG_BYTES = 64 * 1024 * 1024
"""A log stops growing here; what follows is thrown away, and the log says so."""
FULL = b"[keeper] the log is full"


class LineLog:
    """Appends to `path`; several may append to one file (O_APPEND, whole lines)."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        """Raises OSError if the file cannot be opened."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._room = limit - os.fstat(self._fd).st_size
        self._partial = b""
        self._limit = limit

    def feed(self, data: bytes) -> None:
        """Writes every complete line; keeps at most `LINE_BYTES` of an incomplete one."""
        if self._room <= 0:
            return
        *lines, partial = (self._partial + data).split(b"\n")
        while len(partial) > LINE_BYTES:
            lines.append(partial[:LINE_BYTES])
            partial = partial[LINE_BYTES:]
        self._partial = partial
        self._write(lines)

    def note(self, text: str) -> None:
        """A line of the keeper's own."""
        self._write([f"[keeper] {text}".encode()])

    def _write(self, lines: list[bytes]) -> None:
        if self._room <= 0 or not lines:
            return
        seconds, ms = divmod(time.time_ns() // 1_000_000, 1000)
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{ms:03d}Z ".encode()
        pieces = (line[i : i + LINE_BYTES] for line in lines for i in range(0, len(line) or 1, LINE_BYTES))
        out = b"".join(stamp + _text(piece) + b"\n" for piece in pieces)
        if len(out) >= self._room:
            out = out[: out.rfind(b"\n", 0, self._room) + 1]
            out += stamp + FULL + f" ({self._limit} bytes): what follows is thrown away\n".encode()
            self._room = 0
        else:
            self._room -= len(out)
        try:
            while out:
                out = out[os.write(self._fd, out) :]
        except OSError:
            self._room = 0  # a full disk must not end the process whose output this is

    def flush(self) -> None:
        """Writes an incomplete last line as a line."""
        if self._partial:
            self._write([self._partial])
            self._partial = b""

    def close(self) -> None:
        """Flushes, and closes the file."""
        self.flush()
        os.close(self._fd)


def is_full(path: Path) -> bool:
    """Whether a log has stopped growing, and what came later was thrown away."""
    try:
        with open(path, "rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LINE_BYTES))
            return FULL in log.read()
    except OSError:
        return False


def _text(line: bytes) -> bytes:
    """Valid UTF-8, without a carriage return at the end."""
    return line.removesuffix(b"\r").decode("utf-8", "replace").encode()
