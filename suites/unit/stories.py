"""Histories made up by Hypothesis: life stories of messages, told at once, with whatever can go wrong in them.

`stories()` gives plausible ones: each message is published, handed over, applied, settled in some order of turns, the
fault strikes somewhere, and all of it is interleaved. `wild()` then loses, doubles and moves events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from chaosharness.model.event import Event, Kind
from chaosharness.model.history import Aimed, History
from chaosharness.model.semantic import Promise, Semantic

K = Kind
CONSUMER, OTHER, PRODUCER, SINK = (
    "payment.0>broker.0",
    "payment.1>broker.0",
    "orders.0>broker.0",
    "payment.0>effect.effect.0",
)
HARNESS = {
    K.INVOKE, K.COMPLETE, K.FAULT_INJECTED, K.FAULT_HEALED, K.DRAIN_STARTED, K.DRAINED, K.DRAIN_EXPIRED, K.STOPPED,
    K.RESTARTED_AFRESH, K.YIELDS, K.PARKED, K.READY, K.STEP,
}  # fmt: skip
KEEPER = {K.SIGNALLED, K.EXITED, K.STARTED}


@dataclass(frozen=True)
class Line:
    """An event before it has a time."""

    kind: Kind
    keys: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None
    link: str | None = None
    conn: int | None = None


def line(kind: Kind, key: str, link: str | None = None, conn: int | None = None, **data: Any) -> Line:
    return Line(kind, (key,), data, link, conn)


def _publish(draw: st.DrawFn, key: str, op: int, says: Mapping[str, Any], by: str = "workload") -> list[Line]:
    """One operation, from its invocation to whatever end."""
    found = [line(K.INVOKE, key, op=op, producer="orders", by=by, **says)]
    turns = st.sampled_from(["publish", "lost", "confirm", "nack", "unheard", "returned"])
    for turn in draw(st.one_of(st.just(["publish", "confirm"]), st.lists(turns, max_size=4))):
        if turn in ("publish", "lost"):
            found.append(line(K.PUBLISH, key, PRODUCER, 2, confirms=True, discarded=turn == "lost"))
        elif turn == "returned":
            found.append(line(K.RETURNED, key, PRODUCER, 2, reason="no route"))
        else:
            found.append(line(K.CONFIRM, key, PRODUCER, 2, ok=turn != "nack", discarded=turn == "unheard"))
    outcome = draw(st.sampled_from(["ok", "ok", "ok", "ok", "info", "fail", None]))
    if outcome:
        found.append(line(K.COMPLETE, key, op=op, outcome=outcome, told=draw(st.booleans())))
    return found


def _consume(draw: st.DrawFn, key: str) -> list[Line]:
    """Turns of consumers: deliveries, effects, settles, in no certain order."""
    found: list[Line] = []
    usual = ["deliver", "request", "effect", "settle"]
    turns = st.sampled_from([
        "deliver", "deliver", "effect", "effect", "mail", "again", "settle", "settle", "requeue", "unheard", "thrown",
        "auto", "replay", "reused", "reclaim", "request", "nameless",
    ])  # fmt: skip
    for number, turn in enumerate(
        draw(st.one_of(st.just(usual), st.just(usual[:1]), st.just([]), st.lists(turns, max_size=7)))
    ):
        link, conn = draw(st.sampled_from([(CONSUMER, 1), (CONSUMER, 4), (OTHER, 7)]))
        match turn:
            case "deliver" | "auto" | "thrown":
                data = {"redelivered": number > 0, "settled": turn == "auto", "discarded": turn == "thrown"}
                found.append(line(K.DELIVER, key, link, conn, **data))
            case "effect" | "mail":
                sink = "mail" if turn == "mail" else "effect"
                found.append(line(K.EFFECT, key, SINK, 3, sink=sink, effect=f"{key}-{number}", idempotency_key=key))
            case "again":  # the same effect, recorded twice
                found.append(line(K.EFFECT, key, SINK, 3, sink="effect", effect=f"{key}-2", idempotency_key=key))
            case "nameless":
                found.append(line(K.EFFECT, key, SINK, 3, sink="effect"))
            case "settle" | "requeue" | "unheard":
                data = {"requeue": turn == "requeue", "discarded": turn == "unheard"}
                found.append(line(K.SETTLE, key, link, conn, how="ack", **data))
            case "replay":
                found.append(line(K.REPLAY, key, SINK, 3, sink="effect", idempotency_key=key))
            case "reused":
                found.append(line(K.KEY_REUSED, key, SINK, 3, sink="effect", idempotency_key=key))
            case "request":
                found.append(line(K.REQUEST, key, SINK, 3, sink="effect"))
            case _:
                found.append(line(K.RECLAIM, key, link, conn, place="processing"))
    return found


SAYS = [{}, {}, {}, {"class": "spam", "count": 0}, {"class": "two", "count": 2}, {"counts": {"effect": 1, "mail": 0}}]


@st.composite
def _message(draw: st.DrawFn, number: int) -> list[Line]:
    """The whole story of one message."""
    key = f"k{number}"
    ordering = draw(st.sampled_from([{}, {"ordering": "o1"}, {"ordering": "o1"}, {"ordering": "o2"}]))
    says = {**draw(st.sampled_from(SAYS)), **ordering}
    found = _publish(draw, key, number, says) if draw(st.integers(0, 9)) else []
    found += _consume(draw, key)
    if draw(st.integers(0, 5)) == 0:
        by = draw(st.sampled_from(["republish", "workload"]))
        found += _publish(draw, key, 100 + number, says if draw(st.booleans()) else {}, by) + _consume(draw, key)
    return found


def _echo(number: int) -> list[Line]:
    """It comes once more, at some later time, and is applied again."""
    key = f"k{number}"
    again = line(K.DELIVER, key, OTHER, 7, redelivered=True, settled=False)
    return [again, line(K.EFFECT, key, SINK, 3, sink="effect", effect=f"{key}-echo", idempotency_key=key)]


@st.composite
def _fault(draw: st.DrawFn) -> list[Line]:
    """What the harness did: the gate, the fault, its heal, the drain, perhaps a restart afresh."""
    usual = [K.GATE_HELD, K.SIGNALLED, K.EXITED]
    gate = draw(st.sampled_from([usual, usual, [K.GATE_CUT], [], [K.GATE_HELD]]))
    found = []
    for kind in gate:
        if kind in (K.GATE_HELD, K.GATE_CUT):
            found.append(line(kind, "k1", CONSUMER, 1, gate="g", point="settle", bytes=9))
        elif kind is K.SIGNALLED:
            found.append(Line(kind, data={"instance": "payment.0", "signal": "kill", "scope": "tree", "pids": [1]}))
        else:
            found.append(Line(kind, data={"instance": "payment.0", "gone": True, "code": -9, "asked": True}))
    seen = {"fault": "crash", "ok": True, "evidence": {"what": "seen"}}
    found += [Line(kind, ("k1",), seen) for kind in (K.FAULT_INJECTED, K.FAULT_HEALED) if draw(st.integers(0, 7))]
    if draw(st.booleans()):
        found += [Line(K.DRAIN_EXPIRED), Line(K.RESTARTED_AFRESH, data={"instance": "payment.0"})]
        found += [Line(K.SUBSCRIBED, (), {"source": True}, CONSUMER, 8)] if draw(st.booleans()) else []
    found.append(Line(draw(st.sampled_from([K.DRAINED, K.DRAIN_EXPIRED]))))
    return found


@st.composite
def stories(draw: st.DrawFn) -> list[Line]:
    """Some messages and a fault, all at once; in the end a look at what the broker still has."""
    count = draw(st.integers(1, 5))
    tales = [draw(_message(number)) for number in range(1, count + 1)]
    tales.insert(draw(st.integers(0, count)), draw(_fault()))
    tales += [_echo(number) for number in draw(st.sets(st.integers(1, count), max_size=2))]
    in_turn, told = draw(st.booleans()), list[Line]()
    while any(tales):  # one after the other, or interleaved
        tale = (
            next(tale for tale in tales if tale) if in_turn else draw(st.sampled_from([tale for tale in tales if tale]))
        )
        turns = len(tale) if in_turn else draw(st.integers(1, len(tale)))
        told += tale[:turns]
        del tale[:turns]
    keys = st.lists(st.sampled_from([f"k{number}" for number in range(1, count + 1)]), max_size=3, unique=True)
    for kind in (K.YIELDS, K.PARKED):
        if named := draw(keys):
            told.append(Line(kind, tuple(named), {"source": True, "place": "orders"}))
    return told


@st.composite
def wild(draw: st.DrawFn) -> list[Line]:
    """A story of which something is missing, told twice, or told at another time."""
    told = draw(stories())
    for _ in range(draw(st.integers(1, 6))):
        if not told:
            break
        at = draw(st.integers(0, len(told) - 1))
        match draw(st.sampled_from(["lose", "double", "move", "other key", "two keys"])):
            case "lose":
                del told[at]
            case "double":
                told.insert(draw(st.integers(0, len(told))), told[at])
            case "move":
                told.insert(draw(st.integers(0, len(told) - 1)), told.pop(at))
            case "other key":
                told[at] = replace(told[at], keys=("k1",))
            case _:
                told[at] = replace(told[at], keys=("k1", "k2"))
    return told


@st.composite
def histories(draw: st.DrawFn, tales: st.SearchStrategy[list[Line]]) -> History:
    """Each line with its time: mostly a moment after the last one, at times seconds."""
    now_ns, events = 10**9, list[Event]()
    for number, told in enumerate(draw(tales), 1):
        now_ns += draw(st.sampled_from([10**6, 10**6, 10**6, 10**9, 3 * 10**9]))
        origin = "harness" if told.kind in HARNESS else "keeper" if told.kind in KEEPER else "relay"
        events.append(Event(number, now_ns, origin, told.kind, told.keys, told.link, told.conn, told.data or {}))
    return History(tuple(events))


TWO_SINKS = {"effect": 1, "mail": 1}


@st.composite
def promises(draw: st.DrawFn) -> Promise:
    most = st.sampled_from([None, None, 0, 1])
    counts = draw(st.sampled_from([{}, {}, TWO_SINKS]))
    return Promise(
        draw(st.sampled_from([*Semantic, None])),
        count=sum(counts.values()) or draw(st.sampled_from([1, 1, 1, 0, 2])),
        counts=counts,
        recover_within_s=draw(st.sampled_from([None, 2.0])),
        max_loss=draw(most),
        max_duplicates=draw(most),
        max_parked=draw(most),
        ordered_by=draw(st.sampled_from([None, "header:account", "header:account"])),
    )


@st.composite
def aims(draw: st.DrawFn) -> Aimed:
    producer = draw(st.booleans())
    return Aimed(
        key="k1",
        window="effect-ack",
        faults=draw(st.sampled_from([("crash",), ("crash",), ("republish",), ("reject",), ("killer", "broker-kill")])),
        gate="g",
        producer_window=producer,
        sut_producer=producer or draw(st.booleans()),
        redelivers=draw(st.booleans()),
        can_duplicate=draw(st.booleans()),
        stopped_by=("payment.0",),
        random=draw(st.booleans()),
    )
