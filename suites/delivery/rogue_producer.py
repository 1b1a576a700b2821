"""Pushes each order that it reads into a Redis list, says so, and says or does besides what argv[1] says.

    binary  every byte there is, control sequences, JSON that nests too deep, half surrogate pairs, between its answers
    endless a line of 200 MB before its first answer, and short ones that are no answers, by the hundred thousand
    deaf    reads nothing at all

Environment: REDIS_URL, ORDERS.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import redis

NOISE = [
    bytes(range(256)) * 4 + b"\n",
    b"\x1b[2J\x1b]0;title\x07\n",
    b"[" * 200_000 + b"\n",
    b'{"key": "\\ud800", "outcome": "ok"}\n',
    b'{"key": "nobody", "outcome": "ok"}\n',
    b'{"key": 1e999, "outcome": {}}\n[]\nnull\n7\n"\\ud800"\n',
]


def say(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def main() -> None:
    kind = sys.argv[1]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if kind == "deaf":
        while True:
            signal.pause()
    if kind == "endless":
        for _ in range(200):
            say(b"x" * (1 << 20))
        say(b"\n" + b"hello\n" * 300_000)
    server = redis.Redis.from_url(os.environ["REDIS_URL"])
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        if kind == "binary":
            say(NOISE[number % len(NOISE)])
        server.lpush(os.environ["ORDERS"], order["payload"])
        say(json.dumps({"key": order["key"], "outcome": "ok", "detail": "\ud800\x1b[2J" * 2000}).encode() + b"\n")


if __name__ == "__main__":
    main()
