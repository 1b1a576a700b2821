"""A hostile peer at the taps: noise, and real conversations with bytes changed, lost, doubled and moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hostile import Frames, Tap, Turn, amqp, amqp_frames, as_it_came, hold_tap, kinds, resp, store
from hostile_talk import AMQP, OPENING, RESP
from hypothesis import given
from hypothesis import strategies as st
from pamqp import header
from taps_amqp_talk import HELLO, Basic, C, Confirm, Connection, S, content, f, key, publish
from taps_resp_talk import UNHURRIED, cmd

from chaosharness.model.event import Kind
from chaosharness.ports.wire import Side

TAPS: dict[str, tuple[Callable[..., Tap], Frames, dict[str, Any]]] = {
    "amqp": (amqp, amqp_frames, AMQP),
    "resp": (resp, as_it_came, RESP),
}
TALKS = [(tap, name) for tap, (_, _, talks) in TAPS.items() for name in talks]
each_tap = pytest.mark.parametrize("tap", TAPS)
edits = st.lists(
    st.tuples(
        st.sampled_from(["change", "drop", "double", "insert", "number"]),
        st.integers(0, 1 << 16),
        st.one_of(st.integers(0, 8), st.integers(0, 200)),
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=4,
)


def mutated(turns: Sequence[Turn], changes: Sequence[tuple[str, int, int, bytes]]) -> list[Turn]:
    """The conversation with bytes changed, and turns lost or doubled, where chance says so."""
    found = list(turns)
    for what, where, much, new in changes:
        which = where % len(found)
        side, data = found[which]
        at = (where * 31) % (len(data) + 1)
        if what == "change":
            data = data[:at] + new + data[at + len(new) :]
        elif what == "drop":
            data = data[:at] + data[at + much :]
        elif what == "double":
            data = data[:at] + data[at : at + much] + data[at:]
        elif what == "insert":
            data = data[:at] + new + data[at:]
        else:  # a length, a tag, a number: all bits set, or none
            data = data[:at] + (b"\xff" if much % 2 else b"\0") * 4 + data[at + 4 :]
        found[which] = side, data
    return found


@pytest.mark.parametrize(("tap", "name"), TALKS)
@pytest.mark.parametrize("piece", [0, 1, 7, 64])
def test_what_is_no_attack_is_read_to_its_end(tap: str, name: str, piece: int) -> None:
    make, frames, talks = TAPS[tap]
    seen = hold_tap(make, talks[name], frames, piece)
    assert Kind.UNPARSED not in kinds(seen)
    assert seen == hold_tap(make, talks[name], frames)
    assert len(seen) > 5


@each_tap
@UNHURRIED
@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.binary(max_size=40)), max_size=12), st.integers(0, 9))
def test_noise(tap: str, turns: list[Turn], piece: int) -> None:
    make, frames, _ = TAPS[tap]
    hold_tap(make, turns, frames, piece)


@each_tap
@UNHURRIED
@given(
    st.data(), edits, st.integers(0, 40), st.sampled_from([None, "body:json:$.id", "header:n", "property:message_id"])
)
def test_a_conversation_that_is_tampered_with(
    tap: str, data: st.DataObject, changes: list[tuple[str, int, int, bytes]], piece: int, place: str | None
) -> None:
    make, frames, talks = TAPS[tap]
    turns = mutated(talks[data.draw(st.sampled_from(sorted(talks)))], changes)
    whole = hold_tap(lambda: make(place), turns, frames)
    parts = hold_tap(lambda: make(place), turns, frames, piece)
    assert kinds(parts) == kinds(whole)
    assert [one for one in parts if one.kind is not Kind.UNPARSED] == [
        one for one in whole if one.kind is not Kind.UNPARSED
    ]


@each_tap
@UNHURRIED
@given(st.data(), st.integers(0, 1 << 16), st.binary(max_size=40))
def test_noise_in_the_middle_of_a_conversation(tap: str, data: st.DataObject, where: int, noise: bytes) -> None:
    """What came before it is seen as without it."""
    make, frames, talks = TAPS[tap]
    turns = talks[data.draw(st.sampled_from(sorted(talks)))]
    cut = where % len(turns)
    before = hold_tap(make, turns[:cut], frames)
    hurt = [*turns[:cut], (turns[cut][0], noise), *turns[cut:]]
    assert hold_tap(make, hurt, frames)[: len(before)] == before


ODD = b'{"id": "\\ud800 kabcd-000001"}'
"""JSON allows half a surrogate pair, UTF-8 does not."""


@pytest.mark.parametrize(
    ("tap", "turns"),
    [("resp", [(C, cmd("LPUSH", "jobs", ODD))]), ("amqp", [*OPENING, (C, f(Confirm.Select()) + publish(ODD))])],
)
def test_a_key_in_text_that_cannot_be_written_as_utf8(tap: str, turns: list[Turn]) -> None:
    make, frames, _ = TAPS[tap]
    assert kinds(hold_tap(lambda: make("body:json:$.id"), turns, frames)).count(Kind.PUBLISH) == 1


NUMBERS = ["9" * 400, "-" + "9" * 400, "9" * 5000, "1e400", "nan", "\uff11\uff12", ""]
"""No numbers of Redis's: too large for 64 bits, too long for Python, or none at all."""


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:5] or "nothing")
@pytest.mark.parametrize("make", [resp, store])
def test_what_is_no_number_where_one_belongs(make: Callable[[], Tap], number: str) -> None:
    entry, element = f"d:{key(1)}", key(2)
    for request in (
        *(cmd("SET", entry, "x", unit, number) for unit in ("EX", "PX", "EXAT", "PXAT")),
        *(cmd(name, entry, number) for name in ("EXPIRE", "PEXPIREAT", "INCRBY")),
        *(cmd(name, entry, number, "x") for name in ("SETEX", "PSETEX", "ZADD")),
        *(cmd(name, number, "jobs", "LEFT") for name in ("LMPOP", "BLMPOP")),
        *(cmd("HSETEX", entry, "EX", number, "FIELDS", number, "a", "b"), cmd("LTRIM", "mine", number, number)),
        *(cmd("LREM", "mine", number, element), cmd("LPOP", "jobs", number), cmd("MIGRATE", number, entry)),
    ):
        hold_tap(make, [(C, request), (S, b"-ERR\r\n")], as_it_came)
        hold_tap(make, [(C, request), (S, b":1\r\n")], as_it_came)


# what a length field may cost


def promising(size: int, channel: int = 1) -> bytes:
    """A publish whose header announces a body of so many bytes."""
    return f(Basic.Publish(routing_key="orders"), channel) + f(header.ContentHeader(body_size=size), channel)


OPENED = [(C, HELLO), (C, f(Connection.TuneOk(0, 0, 0), 0))]
NESTED, COUNT = b"*1\r\n" * 1000, b"*1000\r\n"
ATTRIBUTE = b"|1\r\n+%s\r\n+x\r\n" % (b"." * 62_000)


@pytest.mark.parametrize(
    ("tap", "turns", "says"),
    [
        ("amqp", [*OPENED, (C, b"\1\0\1\xff\xff\xff\xff")], "a frame of at most"),
        ("amqp", [*OPENED, (C, promising(1 << 62))], "the tap keeps at most"),
        ("amqp", [*OPENED, *((C, promising(40 << 20, channel)) for channel in range(1, 5))], "the tap keeps at most"),
        ("resp", [(C, b"*3\r\n$5\r\nLPUSH\r\n$4\r\njobs\r\n$400000000\r\n")], "a command of 400000"),
        ("resp", [(C, b"*2147483647\r\n$1\r\nx\r\n")], "a command of 2147483647 values"),
        ("resp", [(C, b"PING\r\n"), (S, COUNT * 2000)], "a reply of 1049000 values"),
        ("resp", [(C, b"PING\r\n"), (S, NESTED * 1100)], "a reply of 1048577 values"),
        ("resp", [(C, b"PING\r\n"), *[(S, ATTRIBUTE)] * 1100], "a reply of 671"),
    ],
)
def test_what_is_announced_is_not_waited_for_beyond_a_bound(tap: str, turns: list[Turn], says: str) -> None:
    make, frames, _ = TAPS[tap]
    unparsed = hold_tap(make, turns, frames)[-1]
    assert unparsed.kind is Kind.UNPARSED
    assert says in unparsed.data["reason"]


@pytest.mark.parametrize("tap", TAPS)
def test_what_is_large_within_the_bound_passes_whole(tap: str) -> None:
    large = b"." * (20 << 20) + key(1).encode()
    make, frames, _ = TAPS[tap]
    if tap == "amqp":
        turns = [(C, HELLO), *((C, part) for part in content(Basic.Publish(routing_key="orders"), large, pieces=400))]
    else:
        turns = [(C, cmd("LPUSH", "jobs", large))]
    assert Kind.PUBLISH in kinds(hold_tap(make, turns, frames, 1 << 16))
