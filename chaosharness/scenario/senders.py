"""How messages enter a flow: the harness publishes, or a producer under test is driven by lines or by HTTP.

All three look alike: `send` hands one message over, `completions` says how operations ended.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import requests

from chaosharness.model.address import Address
from chaosharness.ports.plugin import Completion, Message, Outcome

LINE_BYTES = 1 << 20
"""A longer answer is none, however long it goes on."""
DETAIL_KEPT = 2000
NOISE_KEPT = 1000
"""Lines that are kept to be shown; the others are counted."""


class Sender(Protocol):
    """What a workload sends through."""

    def send(self, message: Message) -> None: ...

    def completions(self, timeout_s: float) -> Sequence[Completion]: ...

    def close(self) -> None: ...


def _drain_queue(ended: queue.Queue[Completion], timeout_s: float) -> list[Completion]:
    """All that is there; waits up to `timeout_s` for the first."""
    found = []
    try:
        found.append(ended.get(timeout=timeout_s) if timeout_s > 0 else ended.get_nowait())
        while True:
            found.append(ended.get_nowait())
    except queue.Empty:
        return found


class LineSender:
    """Drives a producer by `{"key", "payload"}` lines on its standard input; it answers `{"key", "outcome"}` lines."""

    def __init__(self) -> None:
        self.noise: list[str] = []
        """The first lines of its standard output that were no answers."""
        self.noisy = 0
        """How many there were."""
        their_in, self._to = os.pipe2(os.O_CLOEXEC)
        self._from, their_out = os.pipe2(os.O_CLOEXEC)
        self.stdio = (their_in, their_out)
        """To be the producer's standard input and output; `handed_over` closes this process's copies."""
        self._outstanding: set[str] = set()
        self._lock = threading.Lock()
        self._ended: queue.Queue[Completion] = queue.Queue()
        self._lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="producer-answers", daemon=True)
        self._writer = threading.Thread(target=self._write, name="producer-input", daemon=True)

    def handed_over(self) -> None:
        """The producer has its ends."""
        for fd in self.stdio:
            os.close(fd)
        self._reader.start()
        self._writer.start()

    def send(self, message: Message) -> None:
        with self._lock:
            self._outstanding.add(message.key)
        line = json.dumps({"key": message.key, "payload": message.body.decode("utf-8", "replace")})
        self._lines.put((message.key, line.encode() + b"\n"))

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        return _drain_queue(self._ended, timeout_s)

    def close(self) -> None:
        """To be called when the producer has ended: its standard output is then at end of file."""
        self._lines.put(None)
        if self._writer.ident is not None:
            self._writer.join(timeout=5)
            self._reader.join(timeout=5)
        os.close(self._to)
        os.close(self._from)

    def _write(self) -> None:
        """One that does not read its standard input keeps this thread waiting, and nobody else."""
        while line := self._lines.get():
            key, data = line
            try:
                while data:
                    data = data[os.write(self._to, data) :]
            except OSError as gone:
                self._complete(key, Outcome.INFO, f"its standard input is closed: {gone}")

    def _read(self) -> None:
        with os.fdopen(os.dup(self._from), "rb") as lines:
            whole = True  # whether what comes next begins a line
            while line := lines.readline(LINE_BYTES):
                if whole:
                    self._take(line)
                whole = line.endswith(b"\n")

    def _take(self, line: bytes) -> None:
        try:
            answer = json.loads(line)
            key, outcome = str(answer["key"]), Outcome(answer["outcome"])
        except (ValueError, KeyError, TypeError, RecursionError):
            self._hear(line[:200].decode("utf-8", "replace").rstrip())
            return
        detail = str(answer.get("detail", "")).encode("utf-8", "backslashreplace").decode()  # it goes into the ledger
        self._complete(key, outcome, detail[:DETAIL_KEPT], told=True)

    def _hear(self, noise: str) -> None:
        self.noisy += 1
        if len(self.noise) < NOISE_KEPT:
            self.noise.append(noise)

    def _complete(self, key: str, outcome: Outcome, detail: str, told: bool = False) -> None:
        with self._lock:
            expected = key in self._outstanding
            self._outstanding.discard(key)
        if expected:
            self._ended.put(Completion(key, outcome, detail, told))
        else:
            self._hear(f"an answer for {key[:200]!r}, which was not asked (any more)")


class HttpSender:
    """Drives a producer by one HTTP request a message: 2xx ok, 4xx fail, anything else info."""

    def __init__(self, drive: str, address: Address, in_flight: int, answer_within_s: float) -> None:
        self._method, _, path = drive.partition(" ")
        self._url = f"http://{address}{path}"
        self._answer_within_s = answer_within_s
        self._pool = ThreadPoolExecutor(max_workers=in_flight, thread_name_prefix="drive")
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._ended: queue.Queue[Completion] = queue.Queue()

    def send(self, message: Message) -> None:
        self._pool.submit(self._request, message)

    def completions(self, timeout_s: float) -> Sequence[Completion]:
        return _drain_queue(self._ended, timeout_s)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for session in self._sessions:
            session.close()

    def _session(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
            self._sessions.append(self._local.session)
        return self._local.session  # type: ignore[no-any-return]

    def _request(self, message: Message) -> None:
        headers = {"Content-Type": "application/json", **message.headers}
        try:
            answer = self._session().request(
                self._method, self._url, data=message.body, headers=headers, timeout=self._answer_within_s
            )
            status = answer.status_code
            outcome = Outcome.OK if 200 <= status < 300 else Outcome.FAIL if 400 <= status < 500 else Outcome.INFO
            self._ended.put(Completion(message.key, outcome, f"status {status}", told=True))
        except requests.RequestException as lost:
            self._ended.put(Completion(message.key, Outcome.INFO, f"no answer: {lost}"))
