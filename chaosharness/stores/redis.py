"""Redis as a store: what a service remembers there (done keys, locks, claims), and how it is taken from it.

In: a flow that declares `NAME = "redis"`. Out: its aims; a wiped database; entries that have expired, by Redis's own
clock. What is done here goes to the server past every tap. To try it: `suites/conformance/test_stores_redis.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis

from chaosharness.model.address import Address
from chaosharness.model.aim import Aim
from chaosharness.model.errors import HarnessBroke, TimedOut
from chaosharness.model.flow import Flow, StoreUse
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Evidence, Instance, Namespace
from chaosharness.servers.redis import connected
from chaosharness.stores.aims import store_aims

CALL_TIMEOUT_S = 5.0
EXPIRED_WITHIN_S = 2.0
NAMED_AT_MOST = 5


class RedisStore:
    """Implements ports.plugin.Store."""

    name = "redis"
    server = "redis"
    codec = "redis_store"

    def connection_string(self, address: Address, namespace: Namespace) -> str:
        """`redis://host:port/db`."""
        return f"redis://{address}/{namespace.facts['db']}"

    def aims(self, flow: Flow, use: StoreUse) -> Sequence[Aim]:
        return store_aims(flow, use)

    def wipe(self, server: Instance, namespace: Namespace) -> Evidence:
        """FLUSHDB, with what was there before and after it counted in the same transaction."""
        with _client(server, namespace, "wipe") as client, client.pipeline(transaction=True) as pipeline:
            before, _, after = pipeline.dbsize().flushdb().dbsize().execute()
        facts = {"entries_before": before, "entries_after": after}
        what = f"{server.name}, {namespace.name}: {before} entries before, {after} after"
        return Evidence(before > 0 and after == 0, what, facts)

    def expire(self, server: Instance, namespace: Namespace, key: str, within_s: float) -> Evidence:
        """Of the entries that name the key, those that would expire by themselves within so long do so now.

        Facts: `expired`, their names; where there are none, nothing was done.
        """
        with _client(server, namespace, "let expire") as client:
            lives = {entry: client.pttl(entry) for entry in _naming(client, key.encode())}
            due = [entry for entry, lives_ms in lives.items() if 0 <= lives_ms < within_s * 1000]
            for entry in due:
                client.pexpire(entry, 1)
            try:
                wait_for(f"{key} to expire", EXPIRED_WITHIN_S, lambda: not due or not client.exists(*due))
            except TimedOut as still:
                return Evidence(False, f"{server.name}: {still}", {"expired": []})
        names = [entry.decode("utf-8", "backslashreplace") for entry in due]
        facts = {"expired": names, "left_s": [lives[entry] / 1000 for entry in due]}
        if not names:
            return Evidence(False, f"of {len(lives)} entries that name {key}, none ends within {within_s:g} s", facts)
        shown = ", ".join(f"{name} ({left:.1f} s left)" for name, left in zip(names, facts["left_s"], strict=True))
        return Evidence(True, f"expired on {server.name}, and gone: {shown}", facts)


def _naming(client: Any, key: bytes) -> Iterator[bytes]:
    """The entries that name the key: in their own name, or in a field or member."""
    inside = {
        b"hash": client.hkeys,
        b"set": client.smembers,
        b"zset": lambda entry: client.zrange(entry, 0, -1),
    }
    for entry in client.scan_iter(count=1000):
        members = inside.get(client.type(entry), lambda _: ())
        if any(key in name for name in (entry, *members(entry))):
            yield entry


@contextmanager
def _client(server: Instance, namespace: Namespace, what: str) -> Iterator[Any]:
    try:
        with connected(server, int(namespace.facts["db"]), CALL_TIMEOUT_S) as client:
            yield client
    except redis.RedisError as error:
        raise HarnessBroke(f"{server.name}: cannot {what} {namespace.name}: {error}") from error
