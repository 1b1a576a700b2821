"""One line of the ledger: what was seen or done, where, and when.

`data` by kind (every key is optional unless marked !; checkers read only what is written here):

operations (origin harness; `op!` pairs the two)
    invoke      op!, producer! (service), by: "workload" | "republish" | "nudge" (a message beyond the workload),
                ordering (the ordering key), class (the payload class), count (effects owed), counts (the same, by
                sink), spoiled (bool: the harness changed its body so that nobody can read it)
    complete    op!, outcome! ("ok" | "fail" | "info"), told (the caller was told so), detail
wire (origin relay; all have `link` and `conn`; recorded as the bytes go on. `discarded: true` = they never did: the
broker or client sent this, and a gate, a fault or a lost connection threw it away at the tap)
    connect     -
    tuned       heartbeat_s!         what client and server have agreed upon; 0: no heartbeats
    disconnect  by! ("client" | "server" | "tap"): whose end of file came first
    subscribe   consumer (tag), source! (bool), auto_ack (bool), prefetch (int | null)       the request
    subscribed  consumer, source!                                                            the server's answer
    unsubscribed consumer, source!
    publish     confirms! (bool: the channel or command is answered), persistent (bool), mandatory (bool), to
    confirm     ok! (bool; false = nack)                                                     keys: all that it covers
    returned    reason
    deliver     redelivered! (bool), settled! (bool: settled by being handed over), how ("push" | "get" | command),
                place (where the client moved it to, to be settled there)
    settle      how! ("ack" | "nack" | "reject" | "remove"), requeue (bool), multiple (bool)
    reclaim     place            a message is taken back into the source by a client (a reaper, a claim); from where
    blocked / unblocked  reason
    closed      scope! ("channel" | "connection"), by!, code, reason
    record      store!, command!, entry (its name there), fresh_only (bool: only if it is not there), ttl_s (null: for
                ever; not there: unknown)      the key, as done or begun
    recorded    store!, ok! (bool; false: it was there already, or refused)                 the store's answer to that
    lookup      store!, command!            is the key there?
    looked_up   store!, found! (bool)       the store's answer to that
    forget      store!, command!            the key is taken away, or given another time to live
    unparsed    reason!, bytes      the codec gave up here; what follows passes through undecoded
    unkeyed     what! , place       a message of the source, or a request of the effect, without a key
    foreign_key found!              a key of another scenario: the harness's own failure
    aside       what!, to           keyed traffic that is not of the source (a dead-letter publish, an output event)
    advice      code!, detail       a choice seen on the wire (auto_ack, transient, no_confirms, …)
gates (origin relay; `gate!` is the gate's id; keys: the aimed one; those that hit have link and conn)
    gate_armed      point!
    gate_disarmed   -                nothing came; no keys
    gate_held       point!, bytes!
    gate_cut        point!, bytes!   the unit and all behind it thrown away, both ends then closed
    gate_released   forwarded! (bool), why! ("told" | "connection gone" | "deadline" | "disarmed")
    severed         -                connections of the event's link were closed at the tap, as the harness was told to
    gate_skipped    why! ("settled_on_delivery" | "settled_before_effect" | "no_confirms"): there is no such window
sink (origin relay; `link` is the replica's link to the effect)
    request     sink!, method, target, idempotency_key
    effect      sink!, effect! (id of the effect, distinct per application), idempotency_key
    replay      sink!, idempotency_key!
    key_reused  sink!, idempotency_key!
    refused     sink!, status!       answered with 400 or above, or (0) not at all: nothing applied
    discarded   sink!, why!          held before it was applied, and its connection was gone
    response    sink!, status!       written to the socket
processes (origin keeper; `instance!`)
    started     pid!, incarnation!
    signalled   signal!, scope!, pids!
    exited      pid!, incarnation!, code! (negative: a signal), asked! (by the harness), gone! (the whole tree)
    bounded     why!                 the harness ended all of it, as it took more of the machine than it may
faults (origin harness; keys: the aimed one; link: to the broker, of the replica that holds it)
    fault_injected  fault!, evidence! (mapping), ok! (bool)
    fault_healed    fault!, evidence!, ok!
    fault_declined  fault!, why!     while running it turned out that it cannot be aimed here
scenario (origin harness)
    step        what!, fault (the fault that is injected next: what comes before this is not its doing)
    ready       link!                what proved it: the subscription that the tap saw
    kept_back   count!               messages kept for after the heal
    drain_started / drained / drain_expired   waiting_for, within_s
    restarted_afresh  instance!      the restart with new {replica} and {host} that `stranded` demands
    quiet       why!, waited_s!
    stopped     instances!
    yields      source! (bool), place    keys: what the broker's durable position still yields after the stop
    parked      place                keys: what ended in the declared dead-letter place
    bypass      instance!, remote!
any origin
    note        text!
    end         the file was closed by its writer: nothing is missing after it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What a ledger line says; the module's docstring gives each one's data."""

    INVOKE = "invoke"
    COMPLETE = "complete"
    CONNECT = "connect"
    TUNED = "tuned"
    DISCONNECT = "disconnect"
    SUBSCRIBE = "subscribe"
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PUBLISH = "publish"
    CONFIRM = "confirm"
    RETURNED = "returned"
    DELIVER = "deliver"
    SETTLE = "settle"
    RECLAIM = "reclaim"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    CLOSED = "closed"
    RECORD = "record"
    RECORDED = "recorded"
    LOOKUP = "lookup"
    LOOKED_UP = "looked_up"
    FORGET = "forget"
    UNPARSED = "unparsed"
    UNKEYED = "unkeyed"
    FOREIGN_KEY = "foreign_key"
    ASIDE = "aside"
    ADVICE = "advice"
    GATE_ARMED = "gate_armed"
    GATE_DISARMED = "gate_disarmed"
    GATE_HELD = "gate_held"
    GATE_CUT = "gate_cut"
    GATE_RELEASED = "gate_released"
    GATE_SKIPPED = "gate_skipped"
    SEVERED = "severed"
    REQUEST = "request"
    EFFECT = "effect"
    REPLAY = "replay"
    KEY_REUSED = "key_reused"
    REFUSED = "refused"
    DISCARDED = "discarded"
    RESPONSE = "response"
    STARTED = "started"
    SIGNALLED = "signalled"
    EXITED = "exited"
    BOUNDED = "bounded"
    FAULT_INJECTED = "fault_injected"
    FAULT_HEALED = "fault_healed"
    FAULT_DECLINED = "fault_declined"
    STEP = "step"
    READY = "ready"
    KEPT_BACK = "kept_back"
    DRAIN_STARTED = "drain_started"
    DRAINED = "drained"
    DRAIN_EXPIRED = "drain_expired"
    RESTARTED_AFRESH = "restarted_afresh"
    QUIET = "quiet"
    STOPPED = "stopped"
    YIELDS = "yields"
    PARKED = "parked"
    BYPASS = "bypass"
    NOTE = "note"
    END = "end"


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a codec or a sink read, before the relay adds where and when."""

    kind: Kind
    keys: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """One observation. (at_ns, origin, seq) orders a history; seq counts from 1 without gaps in each file."""

    seq: int
    at_ns: int
    """CLOCK_MONOTONIC: comparable between the processes of one boot and time namespace only."""
    origin: str
    kind: Kind
    keys: tuple[str, ...] = ()
    link: str | None = None
    conn: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str | None:
        """The first of `keys`: most events have exactly one."""
        return self.keys[0] if self.keys else None
