"""What a tap costs whole lives of messages: through it, and without it, to the same server, in turns.

In: a rig with RabbitMQ and Redis. Out: messages per second on both ways, and the relay's processor time a message.
Part of `ci/bench`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench_traffic import through_rabbitmq, through_redis
from publisher import Load

from chaosharness.ledger.reader import merge
from chaosharness.model.address import BROKER, Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.key import make_key, new_nonce
from chaosharness.ports.wire import CodecOptions
from chaosharness.scenario.rig import Rig
from chaosharness.servers.local import LocalInstance

QUEUE = "bench"
MESSAGES = 5_000
SIZE = 100
ROUNDS = 5
WAYS = ("direct", "tap")
LIFE = (Kind.PUBLISH, Kind.CONFIRM, Kind.DELIVER, Kind.SETTLE)


@dataclass(frozen=True, slots=True)
class Measured:
    """One protocol's figures, a value for each round."""

    messages: int
    per_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    cpu_us: list[float] = field(default_factory=list)
    """The relay's processor time for each message."""


def measure(rig: Rig, folder: Path) -> dict[str, Measured]:
    """By codec."""
    nonce = new_nonce(random.Random(0))
    keys = [make_key(nonce, number) for number in range(MESSAGES)]
    rabbitmq, redis = rig.servers["rabbitmq"], rig.servers["redis"]
    vhost, db = rabbitmq.server.lease(rabbitmq.instance, "taps"), redis.server.lease(redis.instance, "taps")
    load = Load.made(QUEUE, keys, SIZE)
    payloads = [b'{"id":"%b","text":"%b"}' % (key.encode(), b"x" * (SIZE - 31)) for key in keys]
    try:
        return {
            "amqp": _ways(
                rig, "amqp", rabbitmq.instance.nodes["amqp"], folder, nonce,
                lambda address: through_rabbitmq(address, vhost, QUEUE, load),
            ),
            "resp": _ways(
                rig, "resp", redis.instance.nodes["redis"], folder, nonce,
                lambda address: through_redis(address, int(db.facts["db"]), QUEUE, payloads),
            ),
        }  # fmt: skip
    finally:
        rabbitmq.server.release(rabbitmq.instance, vhost)
        redis.server.release(redis.instance, db)


def _ways(
    rig: Rig, codec: str, server: Address, folder: Path, nonce: str, send: Callable[[Address], float]
) -> Measured:
    measured = Measured(MESSAGES)
    relay = rig.relay.instance
    assert isinstance(relay, LocalInstance)
    for number in range(ROUNDS + 1):
        for way in random.Random(number).sample(WAYS, len(WAYS)):
            if way == "direct":
                took = send(server)
            else:
                used_s = cpu_s(relay.pids())
                with _tap(rig, codec, server, folder / f"ledger-{codec}-{number}", nonce) as address:
                    took = send(address)
                    used_s = cpu_s(relay.pids()) - used_s
            if number:  # the first round warms up
                measured.per_s[way].append(MESSAGES / took)
                if way == "tap":
                    measured.cpu_us.append(used_s * 1e6 / MESSAGES)
    return measured


@contextmanager
def _tap(rig: Rig, codec: str, server: Address, folder: Path, nonce: str) -> Iterator[Address]:
    """A tap before the server; afterwards it must have seen the whole life of every message."""
    folder.mkdir()
    rig.relay.begin(folder, nonce, [])
    try:
        yield rig.relay.tap(LinkId("bench", 0, BROKER), server, codec, CodecOptions(QUEUE))
    finally:
        rig.relay.end()
    history = merge(folder)
    seen = {kind: sum(len(event.keys) for event in history if event.kind is kind) for kind in LIFE}
    if set(seen.values()) != {MESSAGES}:
        raise HarnessBroke(f"the {codec} tap should have seen the lives of {MESSAGES} messages, and recorded {seen}")


def cpu_s(pids: Sequence[int]) -> float:
    """Processor time that these processes have used: what a busy machine blurs least."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
