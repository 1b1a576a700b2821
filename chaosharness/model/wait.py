"""The one bounded wait of the code base: every wait says what it waits for, and ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from chaosharness.model.errors import TimedOut

T = TypeVar("T")


def wait_for(
    what: str,
    timeout_s: float,
    check: Callable[[], T | None],
    *,
    poll_s: float = 0.002,
    last_seen: Callable[[], object] | None = None,
    error: type[Exception] = TimedOut,
) -> T:
    """Polls `check` until it returns something true, and returns that.

    Raises `error` after `timeout_s` seconds, saying what was waited for and, by `last_seen`, what stood instead.
    `check` runs at least once, also after a long stall of this process.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        expired = time.monotonic() >= deadline
        found = check()
        if found:
            return found
        if expired:
            seen = f"; last seen: {last_seen()}" if last_seen else ""
            raise error(f"waited {timeout_s:g} s for {what}{seen}")
        time.sleep(poll_s)
