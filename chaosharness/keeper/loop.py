"""The keeper's one thread: file descriptors, child exits, timers, and long operations as generators.

Goes in: callbacks. Comes out: calls of them, one at a time; no operation blocks another, because a long one is a
generator that yields the pause (seconds) until it wants to look again. To try it: `suites/unit/test_keeper_loop.py`.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import signal
import socket
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Steps = Generator[float, None, T]
"""A long operation: yields pauses in seconds, returns its result."""


class Loop:
    """Runs until `stop`. Not reusable, not thread-safe; signals arrive on `on_signal` as ordinary calls."""

    def __init__(self, *numbers: signal.Signals, on_signal: Callable[[signal.Signals], None]) -> None:
        """Takes over the handlers of `numbers`: a handler, unlike an ignored signal, is not inherited through exec."""
        self._selector = selectors.DefaultSelector()
        self._calls: dict[int, Callable[[], object]] = {}
        self._timers: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self._stopped = False
        self._on_signal = on_signal
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        for number in numbers:
            signal.signal(number, _awake)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        self.watch(self._wake_read, self._signals)

    def watch(self, file: socket.socket | int, call: Callable[[], object], write: bool = False) -> None:
        """Calls `call` whenever `file` can be read (with `write`: or written). A second call replaces the first."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        fd = _fileno(file)
        if fd in self._calls:
            self._selector.modify(fd, events)
        else:
            self._selector.register(fd, events)
        self._calls[fd] = call

    def forget(self, file: socket.socket | int) -> None:
        """The opposite of `watch`; to be called before the file is closed. Idempotent."""
        if self._calls.pop(_fileno(file), None):
            self._selector.unregister(_fileno(file))

    def later(self, pause_s: float, call: Callable[[], object]) -> None:
        """Calls `call` once, after `pause_s` seconds."""
        heapq.heappush(self._timers, (time.monotonic() + pause_s, next(self._count), call))

    def start(self, steps: Steps[T], done: Callable[[T | Exception], Any]) -> None:
        """Runs a long operation; `done` gets its result, or what it raised."""
        try:
            pause_s = next(steps)
        except StopIteration as end:
            done(end.value)
        except Exception as error:
            done(error)
        else:
            self.later(pause_s, lambda: self.start(steps, done))

    def stop(self) -> None:
        """Ends `run` after the present call."""
        self._stopped = True

    def run(self) -> None:
        """Serves until `stop`."""
        while not self._stopped:
            timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
            for key, _ in self._selector.select(timeout):
                # an earlier call of this round may have forgotten it
                if (call := self._calls.get(key.fd)) and not self._stopped:
                    call()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now and not self._stopped:
                heapq.heappop(self._timers)[2]()

    def close(self) -> None:
        """Closes what it opened itself."""
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()

    def _signals(self) -> None:
        for number in set(self._wake_read.recv(4096)):
            self._on_signal(signal.Signals(number))


def _fileno(file: socket.socket | int) -> int:
    return file if isinstance(file, int) else file.fileno()


def _awake(_number: int, _frame: object) -> None:
    """The wake-up descriptor has told the loop already."""
