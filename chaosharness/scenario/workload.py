"""The workload: sends a scenario's messages, keeps some in flight, writes every operation down before and after.

Of each ordering key at most one is in flight.

It runs in a thread of its own: a first part, then, when told that the fault has healed, what was kept back.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from chaosharness.ledger.writer import Ledger
from chaosharness.model.errors import ChaosError, HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.plugin import Completion, Message, Outcome
from chaosharness.scenario.senders import Sender

COMPLETE_POLL_S = 0.05
CONNECT_WITHIN_S = 60.0
"""A broker that was killed is back long before."""


class Operations:
    """Numbers operations, and writes their invocation and completion."""

    def __init__(self, ledger: Ledger, producer: str, first: int = 1) -> None:
        self._ledger = ledger
        self._producer = producer
        self._numbers = itertools.count(first)
        self._open: dict[str, int] = {}

    def invoke(self, key: str, by: str, says: Mapping[str, Any] | None = None) -> None:
        self._open[key] = number = next(self._numbers)
        data = {"op": number, "producer": self._producer, "by": by, **(says or {})}
        self._ledger.append(Kind.INVOKE, [key], data=data)

    def complete(self, completion: Completion) -> None:
        number = self._open.pop(completion.key)
        data = {"op": number, "outcome": completion.outcome.value, "told": completion.told}
        if completion.detail:
            data["detail"] = completion.detail
        self._ledger.append(Kind.COMPLETE, [completion.key], data=data)

    @property
    def outstanding(self) -> list[str]:
        return list(self._open)


class Workload(threading.Thread):
    """Sends `first`, waits for `go_on`, sends `rest`. `connect` makes a sender.

    `own`: it is the harness's own connection, made anew when it is lost, and closed in the end.
    """

    def __init__(
        self,
        connect: Callable[[], Sender],
        operations: Operations,
        first: Sequence[Message],
        rest: Sequence[Message],
        *,
        in_flight: int,
        rate_per_s: float | None,
        complete_within_s: float,
        own: bool,
    ) -> None:
        super().__init__(name="workload", daemon=True)
        self._connect = connect
        self._operations = operations
        self._parts = (first, rest)
        self._in_flight = in_flight
        self._rate_per_s = rate_per_s
        self._complete_within_s = complete_within_s
        self._own = own
        self._sender: Sender | None = None
        self._ordering: dict[str, str | None] = {}
        """key → its ordering key"""
        self._refused = "not tried"
        self._begin = threading.Event()
        self._go_on = threading.Event()
        self._stopping = threading.Event()
        self.first_done = threading.Event()
        self.done = threading.Event()
        self.broke: ChaosError | None = None

    def begin(self) -> None:
        """The systems under test are ready: send the first part."""
        self._begin.set()

    def go_on(self) -> None:
        """The fault has healed: send what was kept back."""
        self._go_on.set()

    def stop(self) -> None:
        """Sends nothing more; returns when the thread has ended."""
        self._stopping.set()
        self._begin.set()
        self._go_on.set()
        if self.ident is not None:
            self.join()

    def run(self) -> None:
        try:
            with ExitStack() as end:
                end.callback(self._part_with_connection)
                self._send_parts()
        except ChaosError as broke:
            self.broke = broke
        except Exception as broke:
            self.broke = HarnessBroke(f"the workload failed: {broke!r}")
        finally:
            self.first_done.set()
            self.done.set()

    def _send_parts(self) -> None:
        if self._own:  # connected while the systems under test are still starting
            self._connected()
        self._begin.wait()
        self._send_all(self._parts[0])
        self.first_done.set()
        self._go_on.wait()
        self._part_with_connection()  # the fault may have cut it while it was idle
        self._send_all(self._parts[1])

    def _send_all(self, messages: Sequence[Message]) -> None:
        began = time.monotonic()
        for number, message in enumerate(messages):
            if self._rate_per_s:
                self._collect_until(began + number / self._rate_per_s)
            while self._must_wait(message) and not self._stopping.is_set():
                self._collect_one(message.key)
            if self._stopping.is_set():
                return
            sender = self._connected()
            if sender is None:
                return
            self._operations.invoke(message.key, "workload", message.says)
            self._ordering[message.key] = message.ordering
            sender.send(message)
        while self._operations.outstanding and not self._stopping.is_set():
            self._collect_one("the last")

    def _must_wait(self, message: Message) -> bool:
        """As many as may be are in flight, or one of the same ordering key: only what was published one after the other
        has an order that can be compared."""
        outstanding = self._operations.outstanding
        same = message.ordering is not None and message.ordering in map(self._ordering.get, outstanding)
        return same or len(outstanding) >= self._in_flight

    def _connected(self) -> Sender | None:
        """The sender, connected anew where there is none; None when it is time to stop."""
        if self._sender is None:
            wait_for(
                "the harness's producer to connect",
                CONNECT_WITHIN_S,
                lambda: self._stopping.is_set() or self._try_to_connect(),
                poll_s=0.05,
                last_seen=lambda: self._refused,
            )
        return None if self._stopping.is_set() else self._sender

    def _try_to_connect(self) -> bool:
        """The broker may be down because the harness broke it: refused is not the end."""
        try:
            self._sender = self._connect()
        except HarnessBroke as refused:
            self._refused = str(refused)
        return self._sender is not None

    def _collect_until(self, when: float) -> None:
        while (left := when - time.monotonic()) > 0 and not self._stopping.is_set():
            self._collect(left)

    def _collect_one(self, waiting: str) -> None:
        """Waits, bounded, until some operation completes; then all that are outstanding are indeterminate."""
        deadline = time.monotonic() + self._complete_within_s
        while not self._collect(COMPLETE_POLL_S):
            if self._stopping.is_set():
                return
            if time.monotonic() > deadline:
                detail = f"no answer within {self._complete_within_s:g} s (waiting to send {waiting})"
                for key in self._operations.outstanding:
                    self._operations.complete(Completion(key, Outcome.INFO, detail))
                return

    def _collect(self, timeout_s: float) -> bool:
        """Takes what has completed, waiting up to `timeout_s` for the first."""
        if self._sender is None:
            return False
        completions = self._sender.completions(timeout_s)
        self._take(completions)
        if any(completion.outcome is Outcome.INFO for completion in completions):
            self._part_with_connection()  # it is gone: what follows needs another; nothing is sent twice
        return bool(completions)

    def _take(self, completions: Sequence[Completion]) -> None:
        for completion in completions:
            if completion.key in self._operations.outstanding:
                self._operations.complete(completion)

    def _part_with_connection(self) -> None:
        """Closes the harness's own connection, if there is one; the next message makes another."""
        if self._sender is not None and self._own:
            sender, self._sender = self._sender, None
            sender.close()
            self._take(sender.completions(0))
