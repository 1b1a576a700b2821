"""How a sink misbehaves when it is told to: whom it refuses, whom it leaves without an answer, what it applies late.

In: what a fault tells (`tell`), then each request's key. Out: a status to answer, `NO_ANSWER`, or None: as usual.
To try it: `suites/unit/test_sinks_misbehaviour.py`.

    {"outage": [503, 429, 0]}      requests are answered so, in turn, the last one from then on; [] ends it
    {"refuse": {"k1": 422}}        this key is refused so, for good; 0: its connection is closed
    {"apply_late": ["k1"]}         a request whose caller has given up while it was held is applied all the same
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.errors import HarnessBroke

NO_ANSWER = 0
RETRY_AFTER = {429: "1"}
"""Status → seconds after which the caller may come again."""


class Misbehaviour:
    """Of one sink; as it should be until it is told otherwise."""

    def __init__(self) -> None:
        self._outage: Sequence[int] = ()
        self._turn = 0
        self._refused: Mapping[str, int] = {}
        self._late: frozenset[str] = frozenset()
        self._unanswered: set[asyncio.Future[None]] = set()

    def tell(self, control: Mapping[str, Any]) -> Mapping[str, Any]:
        """From now on. Returns how many requests an outage that this ends had met. Raises HarnessBroke."""
        unknown = sorted(set(control) - {"outage", "refuse", "apply_late"})
        if unknown:
            raise HarnessBroke(f"a sink knows outage, refuse and apply_late, found {', '.join(unknown)}")
        said = {"met": self._turn}
        if "outage" in control:
            self._outage, self._turn = tuple(control["outage"]), 0
            if not self._outage:
                self._end_outage()
        self._refused = {**self._refused, **control.get("refuse", {})}
        if "apply_late" in control:
            self._late = frozenset(control["apply_late"])
        return said

    def status(self, key: str) -> int | None:
        """What a request of this key is answered with instead of being applied; None: it is applied."""
        if key in self._refused:
            return self._refused[key]
        if not self._outage:
            return None
        self._turn += 1
        return self._outage[min(self._turn, len(self._outage)) - 1]

    def late(self, key: str) -> bool:
        """Whether a request of this key is applied although its caller is gone."""
        return key in self._late

    def unanswered(self, key: str) -> asyncio.Future[None]:
        """Done when the request may be given up: at the outage's end; at once for a key that is refused for good."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if key in self._refused or not self._outage:
            over.set_result(None)
        else:
            self._unanswered.add(over)
            over.add_done_callback(self._unanswered.discard)
        return over

    def _end_outage(self) -> None:
        for over in list(self._unanswered):
            if not over.done():
                over.set_result(None)
