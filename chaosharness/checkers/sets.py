"""The sets of SEMANTICS, decided when the drain has ended, as sets of keys.

Goes in: `Facts`, `Hit`, `Promise`, `Aimed`. Comes out: frozen `Sets`. A key is in at most one of lost, parked (among
those that are short of effects), stuck and stranded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from chaosharness.checkers.facts import Facts, Operation, Seen, after, last
from chaosharness.checkers.hit import Hit
from chaosharness.checkers.ordering import Order, compare
from chaosharness.model.event import Kind
from chaosharness.model.history import Aimed
from chaosharness.model.semantic import Promise

Keys = frozenset[str]
DRAIN_ENDS = (Kind.DRAINED, Kind.DRAIN_EXPIRED)
POISON = frozenset({"malformed", "reject", "killer"})
"""Faults that make the aimed message one that can never succeed: the dead-letter place is where it belongs."""


@dataclass(frozen=True, slots=True)
class Sets:
    """Which keys are what; SEMANTICS: the sets."""

    attempted: Keys
    confirmed: Keys
    """A tap saw the broker confirm them, and not return them: the confirm of a returned message takes nothing over. One
    that was returned, published again and then confirmed is confirmed."""
    delivered: Keys
    taken: Keys
    """Settled by a consumer, or by being handed over. A delivery alone obliges nobody: a broker may hand over what it
    has not stored yet, and a publish that it never confirmed is its producer's to repeat."""
    owed: Keys
    """Completed `ok`, or confirmed, or taken."""
    held: Keys
    """The consumer's durable position still yields them."""
    short: Keys
    """Owed, with fewer effects than intended."""
    lost: Keys
    """Short, not held, not dead-lettered."""
    stranded: Keys
    """Short, held, and abandoned: see `abandoned`."""
    stuck: Keys
    """Short, held, not stranded."""
    leftover: Keys
    """Held, not short, not abandoned: still in flight, whatever becomes of it."""
    abandoned: Keys
    """Held; nobody tried to reclaim them or had them again after the fault; later messages went through; and one more
    restart with a new identity did not bring them back."""
    parked: Keys
    """Ended in the declared dead-letter place, which is right for a poison message alone."""
    dead: Keys
    """The poison message, where it ended there."""
    duplicated: Keys
    """Attempted, with more effects than intended."""
    unexpected: Keys
    """An effect, but never attempted."""
    phantom: Keys
    """Every attempt was reported as `fail`, and yet there is an effect."""
    recovered: Keys
    """Indeterminate to the last, and has its effects."""
    late: Keys
    gave_up: Keys
    """In a producer window: nobody ever told the caller how it ended."""
    key_reused: Keys
    order: Order


@dataclass(frozen=True, slots=True)
class Case:
    """What every checker and precondition is given."""

    facts: Facts
    hit: Hit
    sets: Sets
    promise: Promise
    aimed: Aimed


def decide(facts: Facts, hit: Hit, promise: Promise, aimed: Aimed) -> Sets:
    """All sets of one history."""
    attempted = frozenset(facts.operations)
    confirmed = _confirmed(facts)
    delivered = facts.keys(Kind.DELIVER)
    reported_ok = _where(facts, lambda ops: "ok" in _outcomes(ops))
    taken = _keys(facts, Kind.DELIVER, lambda seen: seen.get("settled") is True) | _keys(
        facts, Kind.SETTLE, lambda seen: seen.settles
    )
    owed = reported_ok | confirmed | (taken & delivered)
    held = facts.keys(Kind.YIELDS)
    parked = facts.keys(Kind.PARKED)
    dead = parked & poison(aimed)
    short = frozenset(key for key in owed if shortfall(facts, promise, key) > 0)
    abandoned = _abandoned(facts, hit, held)
    with_effects = frozenset(facts.effects)
    failed = _where(facts, lambda ops: _outcomes(ops) == {"fail"})
    undecided = _where(facts, lambda ops: "info" in _outcomes(ops) and "ok" not in _outcomes(ops))
    return Sets(
        attempted=attempted,
        confirmed=confirmed,
        delivered=delivered,
        taken=taken,
        owed=owed,
        held=held,
        short=short,
        lost=short - held - parked,
        stranded=short & abandoned,
        stuck=(short & held) - abandoned,
        leftover=held - short - abandoned,
        abandoned=abandoned,
        parked=parked - dead,
        dead=dead,
        duplicated=frozenset(key for key in attempted & with_effects if excess(facts, promise, key) > 0),
        unexpected=with_effects - attempted,
        phantom=failed & with_effects,
        recovered=frozenset(key for key in undecided & with_effects if shortfall(facts, promise, key) == 0),
        late=_late(facts, hit, promise) & attempted,
        gave_up=_gave_up(facts) if aimed.producer_window and aimed.sut_producer else frozenset(),
        key_reused=facts.keys(Kind.KEY_REUSED),
        order=compare(facts) if promise.ordered_by else Order(0, {}, {}),
    )


def poison(aimed: Aimed) -> Keys:
    """The aimed key, where a fault made it a message that can never succeed."""
    return frozenset({aimed.key}) if POISON & set(aimed.faults) else frozenset()


def intended(facts: Facts, promise: Promise, key: str) -> int:
    """How many distinct effects the key owes, over all sinks together."""
    return sum(intended for intended, _ in _tally(facts, promise, key))


def shortfall(facts: Facts, promise: Promise, key: str) -> int:
    """How many intended effects the key lacks: per sink where the promise counts per sink, so that nothing cancels."""
    return sum(max(0, intended - found) for intended, found in _tally(facts, promise, key))


def excess(facts: Facts, promise: Promise, key: str) -> int:
    """How many effects the key has beyond those intended."""
    return sum(max(0, found - intended) for intended, found in _tally(facts, promise, key))


def _owed(facts: Facts, promise: Promise, key: str) -> int | Mapping[str, int]:
    """In all, or by sink: the message's own, where its payload class has a count, else the flow's."""
    return facts.owes.get(key, promise.counts or promise.count)


def _tally(facts: Facts, promise: Promise, key: str) -> list[tuple[int, int]]:
    """(intended, found) of each sink; of all together where the promise does not tell them apart."""
    seen = facts.effects.get(key, ())
    owed = _owed(facts, promise, key)
    if isinstance(owed, int):
        return [(owed, len(seen))]
    sinks = [str(one.get("sink")) for one in seen]
    names = {*owed, *sinks}
    return [(owed.get(name, 0), sinks.count(name)) for name in names]


def completing(facts: Facts, promise: Promise, key: str) -> Seen | None:
    """The effect with which a key that lacks none had all that it owes; None where it owes none."""
    seen = facts.effects.get(key, ())
    owed = _owed(facts, promise, key)
    if isinstance(owed, int):
        return seen[owed - 1] if owed else None
    by_sink = {name: [one for one in seen if str(one.get("sink")) == name] for name in owed}
    ends = [by_sink[name][count - 1] for name, count in owed.items() if count]
    return max(ends, key=lambda one: one.at, default=None)


def drain_end(facts: Facts) -> Seen | None:
    """How the last drain ended."""
    return last(facts.of(*DRAIN_ENDS))


def _confirmed(facts: Facts) -> Keys:
    refused: set[str] = set()
    confirmed: set[str] = set()
    for seen in facts.of(Kind.PUBLISH, Kind.RETURNED, Kind.CONFIRM):
        if seen.event.kind is Kind.PUBLISH:
            refused.difference_update(seen.event.keys)
        elif seen.event.kind is Kind.RETURNED:
            refused.update(seen.event.keys)
        elif seen.get("ok") is True:
            confirmed.update(key for key in seen.event.keys if key not in refused)
    return frozenset(confirmed)


def _keys(facts: Facts, kind: Kind, wanted: Callable[[Seen], bool]) -> Keys:
    return frozenset(key for seen in facts.of(kind) if wanted(seen) for key in seen.event.keys)


def _where(facts: Facts, wanted: Callable[[Sequence[Operation]], bool]) -> Keys:
    return frozenset(key for key, ops in facts.operations.items() if wanted(ops))


def _outcomes(operations: Sequence[Operation]) -> set[str]:
    return {op.outcome for op in operations}


def _gave_up(facts: Facts) -> Keys:
    """The workload's operations without an answer; a republish by the harness is no answer of the producer's."""
    return frozenset(op.key for op in facts.workload() if not op.answered)


def _abandoned(facts: Facts, hit: Hit, held: Keys) -> Keys:
    afresh = last(facts.of(Kind.RESTARTED_AFRESH))
    if afresh is None or hit.struck is None or hit.healed is None:
        return frozenset()
    if not after(facts.of(*DRAIN_ENDS, Kind.READY, Kind.SUBSCRIBED, Kind.DELIVER), afresh.at):
        return frozenset()  # the restart had no chance yet
    through = after(facts.of(Kind.EFFECT), hit.healed.at)
    newest = max((_published(facts, key) or 0 for seen in through for key in seen.event.keys), default=0)
    found = set()
    for key in held:
        tried = [
            seen
            for seen in after(facts.about(key, Kind.DELIVER, Kind.RECLAIM), hit.struck)
            if not (seen.discarded and seen.wire == hit.wire)  # the held delivery is recorded when it is let go
        ]
        published = _published(facts, key)
        overtaken = published is not None and newest > published
        if overtaken and not tried and after(facts.about(key, Kind.YIELDS), afresh.at):
            found.add(key)
    return frozenset(found)


def _published(facts: Facts, key: str) -> int | None:
    """The place of the key's last invocation."""
    return max((op.invoked.at for op in facts.operations.get(key, ()) if op.invoked), default=None)


def _late(facts: Facts, hit: Hit, promise: Promise) -> Keys:
    return frozenset(key for key in facts.effects if (lateness_s(facts, hit, promise, key) or 0) > promise.bound_s)


def lateness_s(facts: Facts, hit: Hit, promise: Promise, key: str) -> float | None:
    """Seconds from the heal (or from its publish, if that came later) to the effect that completed the key.

    None where `recover_within_s` is not declared, nothing healed, the key was complete before the heal, or never.
    """
    if promise.recover_within_s is None or hit.healed is None or shortfall(facts, promise, key):
        return None
    done = completing(facts, promise, key)
    if done is None:
        return None
    began = hit.healed.event.at_ns
    for op in facts.operations.get(key, ()):
        if op.by_workload and op.invoked:
            began = max(began, op.invoked.event.at_ns)
    took_s = (done.event.at_ns - began) / 1e9
    return took_s if took_s > 0 else None
