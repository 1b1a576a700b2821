"""What the codecs of the taps cost by themselves: recorded bytes of whole message lives, fed as a relay feeds them.

In: nothing. Out: processor time in µs a frame and a message, and the ratio to a plain parser of the same bytes, which
gives no units, no sightings and no keys: pamqp for AMQP, a dozen lines for RESP. Part of `ci/bench`. To try it, and to
see where the time goes: `python ci/bench_codecs.py --profile amqp`.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pamqp import body, commands, frame, header

from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.key import KeyFinder, make_key, new_nonce
from chaosharness.ports.wire import Codec, CodecOptions, Side
from chaosharness.taps.amqp import AmqpCodec
from chaosharness.taps.resp import RespCodec

MESSAGES = 2_000
SIZE = 100
ROUNDS = 9
AT_ONCE = 20
"""Messages that one read brings: what a busy link does."""
QUEUE = "bench"
Basic = commands.Basic
_SEEN = (Kind.PUBLISH, Kind.CONFIRM, Kind.DELIVER, Kind.SETTLE)
"""The life of a message, each kind once for each key."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Both directions of one connection, as reads of its tap."""

    nonce: str
    reads: Sequence[tuple[Side, bytes]]
    units: int
    """Frames of AMQP; commands and replies of RESP."""
    messages: int = MESSAGES


@dataclass(frozen=True, slots=True)
class Subject:
    """A codec, what it is fed, and what else parses that."""

    recording: Recording
    make: Callable[[CodecOptions, KeyFinder], Codec]
    plain: Callable[[Recording], None]


def subjects() -> dict[str, Subject]:
    return {
        "amqp": Subject(amqp_recording(), AmqpCodec, _by_pamqp),
        "resp": Subject(resp_recording(), RespCodec, _by_hand),
    }


def measure(rounds: int = ROUNDS) -> dict[str, dict[str, list[float]]]:
    """By codec: µs a unit, µs a message, and the ratio to a plain parser, for each round; all in turns."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, subject in subjects().items():
        check(subject)
        found[name] = {"us_per_unit": [], "us_per_message": [], "to_plain_parser": []}
        for number in range(rounds + 1):
            took = {}
            for side in random.Random(number).sample(("ours", "theirs"), 2):
                run = run_codec if side == "ours" else _run_plain
                began = time.thread_time()
                run(subject)
                took[side] = time.thread_time() - began
            if number:  # the first round warms up
                found[name]["us_per_unit"].append(took["ours"] * 1e6 / subject.recording.units)
                found[name]["us_per_message"].append(took["ours"] * 1e6 / subject.recording.messages)
                found[name]["to_plain_parser"].append(took["ours"] / took["theirs"])
    return found


def run_codec(subject: Subject) -> None:
    """One connection through a codec of its own."""
    codec = subject.make(CodecOptions(QUEUE), KeyFinder(subject.recording.nonce))
    feed = codec.feed
    for side, data in subject.recording.reads:
        feed(side, data)


def _run_plain(subject: Subject) -> None:
    subject.plain(subject.recording)


def check(subject: Subject) -> None:
    """Raises HarnessBroke unless the codec sees every key at each point, and gives back every byte."""
    codec = subject.make(CodecOptions(QUEUE), KeyFinder(subject.recording.nonce))
    seen = dict.fromkeys(_SEEN, 0)
    for side, data in subject.recording.reads:
        units = codec.feed(side, data)
        if b"".join(unit.data for unit in units) != data:
            raise HarnessBroke("the codec does not give back what it was fed")
        for sighting in (sighting for unit in units for sighting in unit.seen):
            if sighting.kind in seen:
                seen[sighting.kind] += len(sighting.keys)
    if set(seen.values()) != {subject.recording.messages}:
        raise HarnessBroke(f"the codec should see {subject.recording.messages} keys of each kind, and saw {seen}")


# AMQP


def amqp_recording(messages: int = MESSAGES, size: int = SIZE) -> Recording:
    """Publishes, their confirms (half of them one for five), deliveries, an ack each."""
    nonce = new_nonce(random.Random(0))
    method = commands.Basic.Publish(exchange="", routing_key=QUEUE, mandatory=True)
    reads: list[list[tuple[Side, list[bytes]]]] = [
        [
            (Side.CLIENT, [b"AMQP\0\0\x09\x01"]),
            (Side.SERVER, [frame.marshal(commands.Connection.Start(), 0)]),
            (Side.CLIENT, [frame.marshal(commands.Confirm.Select(), 1), frame.marshal(Basic.Qos(0, 100), 1)]),
            (Side.CLIENT, [frame.marshal(Basic.Consume(queue=QUEUE, consumer_tag="ctag1.0123456789abcdef"), 1)]),
            (Side.SERVER, [frame.marshal(Basic.ConsumeOk("ctag1.0123456789abcdef"), 1)]),
        ]
    ]
    for first in range(0, messages, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, messages))
        contents = [_content(make_key(nonce, number), size) for number in numbers]
        publishes = [part for content in contents for part in (frame.marshal(method, 1), *content)]
        middle = first + len(numbers) // 2
        confirms = [frame.marshal(Basic.Ack(number + 1), 1) for number in numbers if number < middle]
        confirms += [frame.marshal(Basic.Ack(n + 1, True), 1) for n in numbers if n >= middle and n % 5 == 4]
        deliveries = [
            part
            for number, content in zip(numbers, contents, strict=True)
            for part in (
                frame.marshal(Basic.Deliver("ctag1.0123456789abcdef", number + 1, False, "", QUEUE), 1),
                *content,
            )
        ]
        acks = [frame.marshal(Basic.Ack(number + 1), 1) for number in numbers]
        reads.append(
            [
                (Side.CLIENT, publishes),
                (Side.SERVER, confirms),
                (Side.SERVER, deliveries),
                (Side.CLIENT, acks),
            ]
        )
    flat = [read for some in reads for read in some]
    return Recording(
        nonce, [(side, b"".join(parts)) for side, parts in flat], sum(len(parts) for _, parts in flat), messages
    )


def _content(key: str, size: int) -> tuple[bytes, bytes]:
    """Header and body frame; the key stands in the message_id."""
    properties = Basic.Properties(content_type="application/json", delivery_mode=2, message_id=key)
    found = header.ContentHeader(0, size, properties)
    return frame.marshal(found, 1), frame.marshal(body.ContentBody(b"x" * size), 1)


def _by_pamqp(recording: Recording) -> None:
    """Every frame decoded in full."""
    for _, data in recording.reads:
        at = 0
        while at < len(data):
            consumed, _, _ = frame.unmarshal(data[at : at + _frame_size(data, at)])
            at += consumed


def _frame_size(data: bytes, at: int) -> int:
    return 8 if data[at : at + 4] == b"AMQP" else int.from_bytes(data[at + 3 : at + 7], "big") + 8


# RESP


def resp_recording(messages: int = MESSAGES, size: int = SIZE) -> Recording:
    """LPUSH, BLMOVE to a processing list, LREM from there, each with its reply, in pipelines."""
    nonce = new_nonce(random.Random(0))
    reads: list[tuple[Side, bytes]] = []
    for first in range(0, messages, AT_ONCE):
        payloads = [
            f'{{"id":"{make_key(nonce, n)}","text":"{"x" * (size - 30)}"}}'.encode()
            for n in range(first, min(first + AT_ONCE, messages))
        ]
        queue = QUEUE.encode()
        reads += [
            (Side.CLIENT, b"".join(_command(b"LPUSH", queue, payload) for payload in payloads)),
            (Side.SERVER, b"".join(b":%d\r\n" % (n + 1) for n in range(len(payloads)))),
            (Side.CLIENT, _command(b"BLMOVE", queue, b"working", b"RIGHT", b"LEFT", b"1") * len(payloads)),
            (Side.SERVER, b"".join(b"$%d\r\n%b\r\n" % (len(payload), payload) for payload in payloads)),
            (Side.CLIENT, b"".join(_command(b"LREM", b"working", b"1", payload) for payload in payloads)),
            (Side.SERVER, b":1\r\n" * len(payloads)),
        ]
    return Recording(nonce, reads, 6 * messages, messages)


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _by_hand(recording: Recording) -> None:
    """Every command and reply as values; each read holds whole ones."""
    for _, data in recording.reads:
        at = 0
        while at < len(data):
            _, at = _value(data, at)


def _value(data: bytes, at: int) -> tuple[object, int]:
    end = data.index(b"\r\n", at)
    kind, number, after = data[at], int(data[at + 1 : end]), end + 2
    if kind == ord("$"):
        return data[after : after + number], after + number + 2
    if kind == ord("*"):
        items = []
        for _ in range(number):
            item, after = _value(data, after)
            items.append(item)
        return items, after
    return number, after


def main() -> int:
    parser = argparse.ArgumentParser(description="Where a codec's time goes.")
    parser.add_argument("--profile", choices=sorted(subjects()), help="a profile of this codec instead of figures")
    options = parser.parse_args()
    if options.profile:
        subject = subjects()[options.profile]
        profile = cProfile.Profile()
        profile.runcall(run_codec, subject)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        return 0
    for name, found in measure().items():
        for what, values in found.items():
            print(
                f"{name:<6} {what:<18} {sorted(values)[len(values) // 2]:8.3f} ({min(values):.3f} to {max(values):.3f})"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
