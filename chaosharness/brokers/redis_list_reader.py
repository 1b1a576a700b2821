"""The harness's own consumer of a Redis list, for flows without one: each message is posted to the effect as it is.

In: the environment of `readers`; READER_BROKER is redis://…, READER_QUEUE the list. Out: POSTs, until it is killed.
At least once: a message stays in a processing list until its POST is answered below 400; whatever stands there at a
start, or after a lost connection, goes back to the source first.
To try it: `python -m chaosharness.brokers.redis_list_reader`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaosharness.brokers.readers import Effect
from chaosharness.model.wait import wait_for

BLOCK_S = 5.0
CALL_TIMEOUT_S = 10.0
BACK_WITHIN_S = 60.0


class NotPosted(Exception):
    """The effect did not take a message; it says why."""


class Reader:
    """One connection to the broker and one to the effect; a failure of either starts both afresh."""

    def __init__(self, broker: str, queue: str, effect: str) -> None:
        self._redis = redis.Redis.from_url(broker, socket_timeout=CALL_TIMEOUT_S, retry=Retry(NoBackoff(), 0))
        self._queue = queue
        self._processing = f"{queue}:reader"
        self._effect = Effect(effect)

    def run(self) -> None:
        """Never returns. Raises TimedOut when broker or effect are gone for a minute."""
        while True:
            try:
                self._reap()
                while True:
                    self._one()
            except (redis.RedisError, OSError, NotPosted) as error:
                print(f"reader: {type(error).__name__}: {error}", flush=True)
                self.close()
                wait_for("the broker and the effect to be back", BACK_WITHIN_S, self._back, poll_s=0.05)

    def close(self) -> None:
        self._redis.close()
        self._effect.close()

    def _reap(self) -> None:
        """Oldest last, so that the oldest is the next to be read."""
        while self._redis.lmove(self._processing, self._queue, "LEFT", "RIGHT") is not None:
            pass

    def _one(self) -> None:
        body = self._redis.blmove(self._queue, self._processing, BLOCK_S, "RIGHT", "LEFT")
        if body is None:
            return
        if problem := self._effect.post(body):
            raise NotPosted(problem)
        self._redis.lrem(self._processing, 1, body)

    def _back(self) -> bool:
        try:
            return bool(self._redis.ping()) and self._effect.listens()
        except (redis.RedisError, OSError):
            return False


def main(env: Mapping[str, str]) -> None:
    reader = Reader(env["READER_BROKER"], env["READER_QUEUE"], env["READER_EFFECT"])
    try:
        reader.run()
    finally:
        reader.close()


if __name__ == "__main__":
    main(os.environ)
