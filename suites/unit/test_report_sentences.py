"""Every kind of event has its sentence; a hole in the data makes a vague sentence, never a wrong one or a crash."""

from __future__ import annotations

from typing import Any

import pytest

from chaosharness.model.event import Event, Kind
from chaosharness.report.sentences import describe, link_ends

KEY = "k7f3q-000117"
CONSUMER = "payment.0>broker.0"
EFFECT = "payment.0>effect.effect.0"
HARNESS = "harness.0>broker.0"
STORE = "payment.0>store.dedup.0"

SAID: list[tuple[Kind, str | None, dict[str, Any], str]] = [
    (Kind.INVOKE, None, {"producer": "harness"}, f"harness begins to publish {KEY}"),
    (Kind.INVOKE, None, {"producer": "shop"}, f"shop is asked to publish {KEY}"),
    (
        Kind.INVOKE,
        None,
        {"producer": "harness", "by": "republish"},
        f"harness publishes {KEY} once more, as a retrying upstream would",
    ),
    (Kind.COMPLETE, None, {"outcome": "ok"}, f"publish of {KEY} completes: ok"),
    (
        Kind.COMPLETE,
        None,
        {"outcome": "fail", "told": True, "detail": "404"},
        f"publish of {KEY} fails: it did not happen, and the caller was told: 404",
    ),
    (Kind.COMPLETE, None, {"outcome": "info"}, f"publish of {KEY} ends indeterminate"),
    (Kind.CONNECT, CONSUMER, {}, "payment.0 connects to the broker"),
    (
        Kind.TUNED,
        CONSUMER,
        {"heartbeat_s": 60},
        "payment.0 and the broker agree upon heartbeats every 60 s (0: none)",
    ),
    (Kind.DISCONNECT, CONSUMER, {"by": "client"}, "payment.0 closes its connection to the broker"),
    (Kind.DISCONNECT, CONSUMER, {"by": "server"}, "broker closes its connection to payment.0"),
    (Kind.DISCONNECT, CONSUMER, {"by": "tap"}, "tap closes the connection between payment.0 and the broker"),
    (
        Kind.SUBSCRIBE,
        CONSUMER,
        {"source": True, "auto_ack": True, "prefetch": None},
        "payment.0 asks to consume the source (auto-ack, prefetch unlimited)",
    ),
    (Kind.SUBSCRIBED, CONSUMER, {"source": True}, "broker has subscribed payment.0 to the source"),
    (Kind.UNSUBSCRIBED, CONSUMER, {"source": False}, "payment.0 no longer consumes another place than the source"),
    (
        Kind.PUBLISH,
        HARNESS,
        {"confirms": False, "persistent": False, "to": "orders"},
        f"harness publishes {KEY} to orders (no confirm asked for, transient)",
    ),
    (Kind.CONFIRM, HARNESS, {"ok": True}, f"broker confirms {KEY} to the harness"),
    (Kind.CONFIRM, HARNESS, {"ok": False}, f"broker refuses (nack) {KEY} to the harness"),
    (Kind.RETURNED, HARNESS, {"reason": "NO_ROUTE"}, f"broker returns {KEY} to the harness: NO_ROUTE"),
    (
        Kind.DELIVER,
        CONSUMER,
        {"redelivered": True, "settled": False},
        f"broker delivers {KEY} (redelivered) to payment.0",
    ),
    (
        Kind.DELIVER,
        CONSUMER,
        {"redelivered": False, "settled": True},
        f"broker delivers {KEY} (settled by being handed over) to payment.0",
    ),
    (Kind.SETTLE, CONSUMER, {"how": "ack"}, f"payment.0 acknowledges {KEY} (consumer ack)"),
    (
        Kind.SETTLE,
        CONSUMER,
        {"how": "nack", "requeue": True},
        f"payment.0 refuses {KEY} (consumer nack), to be queued again",
    ),
    (Kind.SETTLE, CONSUMER, {"how": "reject"}, f"payment.0 rejects {KEY}"),
    (Kind.SETTLE, CONSUMER, {"how": "remove"}, f"payment.0 removes {KEY} from the source"),
    (Kind.RECLAIM, CONSUMER, {}, f"payment.0 takes {KEY} back into the source"),
    (Kind.BLOCKED, HARNESS, {"reason": "memory"}, "broker blocks the harness: memory"),
    (Kind.UNBLOCKED, HARNESS, {}, "broker no longer blocks the harness"),
    (
        Kind.CLOSED,
        CONSUMER,
        {"scope": "channel", "by": "server", "code": 406, "reason": "PRECONDITION_FAILED"},
        "broker closes the channel with code 406: PRECONDITION_FAILED",
    ),
    (
        Kind.RECORD,
        STORE,
        {"store": "dedup", "command": "SET", "ttl_s": 60.0},
        f"payment.0 records {KEY} in dedup, by SET, for 60 s",
    ),
    (
        Kind.RECORD,
        STORE,
        {"store": "dedup", "command": "SETNX", "ttl_s": None},
        f"payment.0 records {KEY} in dedup, by SETNX",
    ),
    (Kind.RECORDED, STORE, {"store": "dedup", "ok": True}, f"dedup says of {KEY}: recorded"),
    (
        Kind.RECORDED,
        STORE,
        {"store": "dedup", "ok": False},
        f"dedup says of {KEY}: refused: it is there already, or cannot be",
    ),
    (Kind.LOOKUP, STORE, {"store": "dedup", "command": "GET"}, f"payment.0 looks {KEY} up in dedup, by GET"),
    (Kind.LOOKED_UP, STORE, {"store": "dedup", "found": True}, f"dedup says: {KEY} is there"),
    (Kind.LOOKED_UP, STORE, {"store": "dedup", "found": False}, f"dedup says: {KEY} is not there"),
    (Kind.FORGET, STORE, {"store": "dedup", "command": "DEL"}, f"payment.0 takes {KEY} out of dedup, by DEL"),
    (Kind.GATE_HELD, STORE, {"point": "record", "bytes": 5}, f"gate holds the record in the store of {KEY} (5 bytes)"),
    (Kind.SEVERED, CONSUMER, {}, "tap closes a connection of payment.0, as the harness says"),
    (
        Kind.FAULT_DECLINED,
        None,
        {"fault": "expire", "why": "it lives for ever"},
        "expire cannot be aimed here: it lives for ever",
    ),
    (
        Kind.UNPARSED,
        CONSUMER,
        {"reason": "bad frame end", "bytes": 12},
        "tap cannot read what follows (12 bytes): bad frame end",
    ),
    (Kind.UNKEYED, CONSUMER, {"what": "message", "place": "orders"}, "a message without a key passes at orders"),
    (Kind.FOREIGN_KEY, CONSUMER, {"found": "kabcd-000001"}, "a key of another scenario appears: kabcd-000001"),
    (Kind.ASIDE, CONSUMER, {"what": "publish", "to": "dead"}, f"payment.0 sends {KEY} aside, as publish to dead"),
    (Kind.ADVICE, CONSUMER, {"code": "auto_ack", "detail": "no-ack set"}, "seen on the wire: auto_ack, no-ack set"),
    (Kind.GATE_ARMED, None, {"gate": "g1"}, "gate g1 is armed"),
    (Kind.GATE_DISARMED, None, {"gate": "g1"}, "gate g1 is disarmed"),
    (Kind.GATE_HELD, CONSUMER, {"point": "settle", "bytes": 21}, f"gate holds the consumer ack of {KEY} (21 bytes)"),
    (
        Kind.GATE_CUT,
        CONSUMER,
        {"point": "confirm", "bytes": 9},
        f"gate throws away the publisher confirm of {KEY} and all behind it (9 bytes), then closes both ends",
    ),
    (Kind.GATE_RELEASED, CONSUMER, {"forwarded": True, "why": "told"}, f"gate lets {KEY} go on: the harness said so"),
    (
        Kind.GATE_RELEASED,
        CONSUMER,
        {"forwarded": False, "why": "connection gone"},
        f"gate throws away what it held of {KEY}: an end of its connection is gone",
    ),
    (
        Kind.GATE_SKIPPED,
        CONSUMER,
        {"why": "settled_before_effect"},
        f"gate passes {KEY} by: it was settled before its effect",
    ),
    (
        Kind.REQUEST,
        EFFECT,
        {"sink": "http", "method": "POST", "target": "/v1/charges"},
        f"payment.0 requests the effect of {KEY}: POST /v1/charges",
    ),
    (Kind.EFFECT, EFFECT, {"sink": "http", "effect": "e-7"}, f"sink http applies the effect of {KEY} (e-7)"),
    (
        Kind.REPLAY,
        EFFECT,
        {"sink": "http", "idempotency_key": "abc"},
        f"sink http answers {KEY} as before (replay of abc), no effect",
    ),
    (
        Kind.KEY_REUSED,
        EFFECT,
        {"sink": "http", "idempotency_key": "abc"},
        "sink http sees idempotency key abc again, with another body",
    ),
    (
        Kind.REFUSED,
        EFFECT,
        {"sink": "http", "status": 503},
        f"sink http refuses {KEY} with status 503: nothing applied",
    ),
    (
        Kind.DISCARDED,
        EFFECT,
        {"sink": "http", "why": "connection gone"},
        f"sink http discards the request of {KEY}, not applied: connection gone",
    ),
    (Kind.RESPONSE, EFFECT, {"sink": "http", "status": 200}, f"sink http answers {KEY} with status 200"),
    (
        Kind.STARTED,
        None,
        {"instance": "payment.0", "pid": 7, "incarnation": 2},
        "payment.0 starts (pid 7, incarnation 2)",
    ),
    (
        Kind.STARTED,
        None,
        {"instance": "payment.0", "pid": 7, "container": "5813a0b1c2d3", "incarnation": 2},
        "payment.0 starts (container 5813a0b1c2d3, incarnation 2)",
    ),
    (
        Kind.SIGNALLED,
        None,
        {"instance": "payment.0", "signal": "kill", "scope": "tree", "pids": [7]},
        "SIGKILL is sent to payment.0 (the whole tree)",
    ),
    (
        Kind.EXITED,
        None,
        {"instance": "payment.0", "code": -9, "asked": True, "gone": True},
        "payment.0 ends by signal 9, as the harness asked",
    ),
    (
        Kind.EXITED,
        None,
        {"instance": "payment.0", "code": 1, "asked": False, "gone": False},
        "payment.0 ends with code 1, unasked; processes of it live on",
    ),
    (
        Kind.BOUNDED,
        None,
        {"instance": "payment.0", "why": "it had 1200 processes"},
        "payment.0 is ended by the harness: it had 1200 processes",
    ),
    (
        Kind.FAULT_INJECTED,
        CONSUMER,
        {"fault": "crash", "ok": True, "evidence": {"what": "all gone"}},
        "crash is injected: all gone",
    ),
    (
        Kind.FAULT_INJECTED,
        CONSUMER,
        {"fault": "crash", "ok": False, "evidence": {"pids": [1]}},
        "crash could not be shown to have happened: pids=[1]",
    ),
    (Kind.FAULT_HEALED, None, {"fault": "crash", "ok": True, "evidence": {}}, "crash is healed"),
    (Kind.STEP, None, {"what": "publish"}, "harness: publish"),
    (Kind.READY, CONSUMER, {}, "payment.0 is ready: its subscription was seen"),
    (Kind.KEPT_BACK, None, {"count": 20}, "20 messages are kept back until after the heal"),
    (
        Kind.DRAIN_STARTED,
        None,
        {"within_s": 30, "waiting_for": "3 unacked"},
        "drain begins, within 30 s: 3 unacked",
    ),
    (Kind.DRAINED, None, {}, "drained: nothing is in flight"),
    (Kind.DRAIN_EXPIRED, None, {"waiting_for": "3 unacked"}, "drain ends at its bound: 3 unacked"),
    (Kind.RESTARTED_AFRESH, None, {"instance": "payment.0"}, "payment.0 is restarted once more, with a new identity"),
    (Kind.QUIET, None, {"why": "a retry", "waited_s": 2}, "harness waits 2 s for quiet: a retry"),
    (Kind.STOPPED, None, {"instances": ["payment.0", "payment.1"]}, "stopped: payment.0 and payment.1"),
    (Kind.YIELDS, None, {"source": True, "place": "orders"}, f"broker still yields {KEY} at orders"),
    (Kind.PARKED, None, {"place": "orders.dead"}, f"{KEY} ended in the dead-letter place orders.dead"),
    (
        Kind.BYPASS,
        None,
        {"instance": "payment.0", "remote": "127.0.0.1:5672"},
        "payment.0 talks to 127.0.0.1:5672 past its link",
    ),
    (Kind.NOTE, None, {"text": "all well"}, "all well"),
    (Kind.END, None, {}, "ledger file of relay is closed by its writer"),
]


def event(
    kind: Kind, link: str | None = None, data: dict[str, Any] | None = None, keys: tuple[str, ...] = (KEY,)
) -> Event:
    return Event(1, 0, "relay", kind, keys, link, 1 if link else None, data or {})


@pytest.mark.parametrize(("kind", "link", "data", "sentence"), SAID)
def test_sentence(kind: Kind, link: str | None, data: dict[str, Any], sentence: str) -> None:
    assert describe(event(kind, link, data)) == sentence


def test_every_kind_has_a_sentence_here() -> None:
    assert {kind for kind, *_ in SAID} == set(Kind)


MANY = tuple(f"k-{n:06d}" for n in range(10_000))
HOSTILE: Any = {"a": ["\x1b[2J\n", {"b": None}], "c": "\u202e" * 500}
NAMES = {name for *_, data, _ in SAID for name in data} | {
    "relay",
    "reason",
    "detail",
    "place",
    "waiting_for",
    "within_s",
}


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("value", [None, HOSTILE, "\x1b[31m\n", 0, True, ["x"]])
def test_no_data_breaks_or_moves_a_line(kind: Kind, value: object) -> None:
    for link in (None, CONSUMER, "not a link", "a.0>store.dedup.0"):
        for keys in ((), (KEY,), MANY):
            said = describe(event(kind, link, dict.fromkeys(NAMES, value), keys))
            assert said
            assert said.isprintable()
            assert len(said) < 1000


def test_an_event_of_many_keys_names_the_one_asked_about() -> None:
    many = event(Kind.CONFIRM, HARNESS, {"ok": True}, ("k-000001", "k-000002", KEY))
    assert describe(many, KEY) == f"broker confirms {KEY} and 2 others to the harness"
    assert describe(many) == f"broker confirms k-000001, k-000002 and {KEY} to the harness"


def test_a_place_that_yields_nothing_is_not_said_to_yield() -> None:
    said = describe(event(Kind.YIELDS, None, {"source": True, "place": "orders"}, ()))
    assert said == "broker yields nothing any more at orders"


def test_what_never_went_on_is_said_to_be_thrown_away() -> None:
    cut = event(Kind.DELIVER, CONSUMER, {"redelivered": False, "settled": False, "discarded": True})
    passed = event(Kind.DELIVER, CONSUMER, {"redelivered": False, "settled": False})
    assert describe(cut) == f"{describe(passed)}: thrown away on the way"


def test_link_ends() -> None:
    assert link_ends("payment.1>effect.charge.0") == ("payment.1", "the sink charge")
    assert link_ends("payment.1>store.dedup.0") == ("payment.1", "the store dedup")
    assert link_ends("payment.1>broker.2") == ("payment.1", "the broker's node 2")
    assert link_ends(None) == ("a client", "the server")
