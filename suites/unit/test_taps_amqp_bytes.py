"""The AMQP codec gives back every byte, however the stream is cut into chunks and whatever is in it."""

from __future__ import annotations

from collections import Counter, deque
from itertools import pairwise, takewhile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pamqp import heartbeat
from taps_amqp_talk import HELLO, Basic, C, Channel, Confirm, S, content, f, key, seen

from chaosharness.model.event import Kind
from chaosharness.model.key import KeyFinder
from chaosharness.ports.wire import CodecOptions, Side, Unit
from chaosharness.taps.amqp import AmqpCodec

ANY_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A loaded machine is no error of the codec's."""


def codec() -> AmqpCodec:
    return AmqpCodec(CodecOptions("orders"), KeyFinder("kabcd"))


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """(channel, frame): what each of three channels sends, in its own order, interleaved at random, with heartbeats."""
    waiting: dict[int, deque[bytes]] = {0: deque([f(heartbeat.Heartbeat(), 0)] * draw(st.integers(0, 2)))}
    for channel in (1, 2, 3):
        frames = [f(Channel.Open(), channel), f(Confirm.Select(), channel)]
        for number in range(draw(st.integers(0, 3))):
            text = f"{key(number)}{'.' * draw(st.integers(0, 40))}".encode()
            frames += content(
                Basic.Publish(routing_key="orders"),
                text,
                channel,
                pieces=draw(st.integers(1, 3)),
                message_id=key(number),
            )
            frames.append(f(Basic.Ack(number + 1), channel))
        waiting[channel] = deque(frames)
    order = draw(st.permutations([channel for channel, frames in waiting.items() for _ in frames]))
    return [(channel, waiting[channel].popleft()) for channel in order]


def chunks(draw: st.DrawFn, data: bytes) -> list[bytes]:
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]


def fed(side: Side, pieces: list[bytes]) -> list[Unit]:
    subject = codec()
    return [unit for piece in pieces for unit in subject.feed(side, piece)]


@ANY_PACE
@given(st.data())
def test_chunks_change_nothing_and_every_channel_keeps_its_order(data: st.DataObject) -> None:
    stream = data.draw(streams())
    whole = HELLO + b"".join(frame for _, frame in stream)
    units = fed(C, data.draw(st.composite(lambda draw: chunks(draw, whole))()))
    assert units == fed(C, [whole])
    assert Kind.UNPARSED not in {sighting.kind for sighting in seen(units)}
    assert units[0].data == HELLO
    for lane in (1, 2, 3):
        sent = b"".join(frame for channel, frame in stream if channel == lane)
        assert b"".join(unit.data for unit in units if unit.lane == lane) == sent
    assert sum(len(unit.data) for unit in units) == len(whole)


def test_one_byte_at_a_time() -> None:
    frames = content(Basic.Publish(routing_key="orders"), key(7).encode(), pieces=4)
    data = HELLO + b"".join(frames) + f(heartbeat.Heartbeat(), 0)
    units = fed(C, [bytes([byte]) for byte in data])
    assert units == fed(C, [data])
    assert b"".join(unit.data for unit in units) == data


@ANY_PACE
@given(st.data(), st.sampled_from([C, S]))
def test_a_changed_byte_loses_none(data: st.DataObject, side: Side) -> None:
    start = HELLO if side is C else b""
    whole = bytearray(start + b"".join(frame for _, frame in data.draw(streams())))
    whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    subject = codec()
    pieces = data.draw(st.composite(lambda draw: chunks(draw, bytes(whole)))())
    units = [unit for piece in pieces for unit in subject.feed(side, piece)]
    left = subject._framers[side].rest()
    assert Counter(b"".join(unit.data for unit in units) + left) == Counter(bytes(whole))
    assert sum(sighting.kind is Kind.UNPARSED for sighting in seen(units)) <= 1


PUBLISH = Basic.Publish(routing_key="orders")
ONE, EMPTY, OTHERS = (
    content(PUBLISH, key(1).encode()),
    content(PUBLISH, b"", message_id=key(2)),
    content(PUBLISH, b"", 2, message_id=key(3)),
)
ACK = f(Basic.Ack(1))


@pytest.mark.parametrize(
    ("frames", "keys"),
    [
        ([*ONE, *EMPTY], [key(1), key(2)]),
        ([OTHERS[0], EMPTY[0], OTHERS[1], EMPTY[1]], [key(3), key(2)]),
        ([OTHERS[0], *ONE[:2], OTHERS[1], ONE[2]], [key(3), key(1)]),
        ([OTHERS[0], ACK, EMPTY[0], OTHERS[1], EMPTY[1]], [key(3), key(2)]),
        ([ONE[0], ACK, *EMPTY], [key(2)]),
        ([*ONE[:2], ACK, *EMPTY], [key(2)]),
        ([ONE[0], *EMPTY], [key(2)]),
        ([*ONE[:2], *EMPTY], [key(2)]),
        ([ONE[0], ONE[2], *EMPTY], [key(2)]),
        ([ONE[0], f(heartbeat.Heartbeat(), 0), *ONE[1:]], [key(1)]),
    ],
)
def test_only_frames_that_belong_together_are_one_message(frames: list[bytes], keys: list[str]) -> None:
    data = HELLO + b"".join(frames)
    units = fed(C, [data])
    assert [key for s in seen(units) if s.kind is Kind.PUBLISH for key in s.keys] == keys
    assert units == fed(C, [bytes([byte]) for byte in data])
    for lane in (1, 2):
        sent = [frame for frame in frames if frame[1:3] == bytes([0, lane])]
        assert b"".join(unit.data for unit in units if unit.lane == lane) == b"".join(sent)


@pytest.mark.parametrize("broken", range(3))
def test_a_message_with_a_frame_that_does_not_end_is_none(broken: int) -> None:
    frames = [*ONE[:broken], ONE[broken][:-1] + b"?", *ONE[broken + 1 :]]
    units = fed(C, [HELLO, b"".join(frames)])
    assert [s.kind for s in seen(units)] == [Kind.UNPARSED]
    assert b"".join(unit.data for unit in units) == HELLO + b"".join(frames)


@ANY_PACE
@given(st.data(), st.sampled_from([C, S]))
def test_what_is_cut_out_in_one_piece_means_what_it_means_byte_by_byte(data: st.DataObject, side: Side) -> None:
    whole = bytearray((HELLO if side is C else b"") + b"".join(frame for _, frame in data.draw(streams())))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=2)):
        whole[at] = data.draw(st.integers(0, 255))
    at_once, slowly = fed(side, [bytes(whole)]), fed(side, [bytes([byte]) for byte in whole])
    assert readable(at_once) == readable(slowly)
    assert [s.kind for s in seen(at_once)] == [s.kind for s in seen(slowly)]


def readable(units: list[Unit]) -> list[Unit]:
    """Those before the codec gave up."""
    return list(takewhile(lambda unit: Kind.UNPARSED not in {sighting.kind for sighting in unit.seen}, units))


@ANY_PACE
@given(st.lists(st.binary(max_size=30), max_size=8), st.sampled_from([C, S]))
def test_noise_passes_to_the_byte(pieces: list[bytes], side: Side) -> None:
    subject = codec()
    out = b"".join(unit.data for piece in pieces for unit in subject.feed(side, piece))
    assert out + subject._framers[side].rest() == b"".join(pieces)
