"""A second, naive implementation of the sets, from their definitions alone; it shares no code with the checkers.

Goes in: the events of a history in order, the promise, what was aimed, and the place at which the fault struck, if it
did. Comes out: the keys of each set, by its name; and which kinds of finding break the promise. Slow, plain loops: it
is to be obviously right. `test_checkers_oracle` holds the checkers to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaosharness.model.event import Event, Kind
from chaosharness.model.history import Aimed
from chaosharness.model.semantic import Promise, Semantic

Sets = dict[str, set[str]]
NAMES = {
    "attempted", "owed", "confirmed", "delivered", "held", "dead_lettered", "short", "lost", "abandoned", "stranded",
    "stuck", "leftover", "parked", "duplicated", "unexpected", "phantom", "recovered", "late", "gave_up", "key_reused",
    "reordered", "regressed",
}  # fmt: skip


def sets(events: Sequence[Event], promise: Promise, aimed: Aimed, struck: int | None) -> Sets:
    """Every set of keys, by its name."""
    keys = {key for event in events for key in event.keys}
    found: Sets = {name: {key for key in keys if holds(key)} for name, holds in _simple(events, promise, aimed).items()}
    found["lost"] = found["short"] - found["held"] - found["dead_lettered"]
    found["abandoned"] = {key for key in found["held"] if _abandoned(events, key, aimed, struck)}
    found["stranded"] = found["short"] & found["abandoned"]
    found["stuck"] = (found["short"] & found["held"]) - found["abandoned"]
    found["leftover"] = found["held"] - found["short"] - found["abandoned"]
    poison = {aimed.key} if {"malformed", "reject", "killer"} & set(aimed.faults) else set()
    found["parked"] = found["dead_lettered"] - poison
    found["reordered"] = set()
    found["regressed"] = set()
    if promise.ordered_by is not None:
        found["reordered"] = {key for key in keys if _overtaken(events, key)}
        found["regressed"] = {key for key in keys if _leaves_an_older_state(events, key)}
    return found


def _simple(events: Sequence[Event], promise: Promise, aimed: Aimed) -> dict[str, Any]:
    """The sets that each key is in or not by what is recorded of itself."""

    def outcomes(key: str) -> list[str]:
        return [outcome for _, _, outcome, _ in _operations(events, key)]

    def attempted(key: str) -> bool:
        return len(outcomes(key)) > 0

    def owed(key: str) -> bool:
        return "ok" in outcomes(key) or _confirmed(events, key) or _settled(events, key)

    def has(key: str, kind: Kind) -> bool:
        return any(event.kind is kind and key in event.keys for event in events)

    def effects(key: str) -> bool:
        return len(_effects(events, key)) > 0

    def indeterminate(key: str) -> bool:
        return "info" in outcomes(key) and "ok" not in outcomes(key)

    return {
        "attempted": attempted,
        "owed": owed,
        "confirmed": lambda key: _confirmed(events, key),
        "delivered": lambda key: has(key, Kind.DELIVER),
        "held": lambda key: has(key, Kind.YIELDS),
        "dead_lettered": lambda key: has(key, Kind.PARKED),
        "short": lambda key: owed(key) and _lacking(events, promise, key) > 0,
        "duplicated": lambda key: attempted(key) and effects(key) and _too_many(events, promise, key) > 0,
        "unexpected": lambda key: effects(key) and not attempted(key),
        "phantom": lambda key: effects(key) and attempted(key) and set(outcomes(key)) == {"fail"},
        "recovered": lambda key: indeterminate(key) and effects(key) and _lacking(events, promise, key) == 0,
        "late": lambda key: attempted(key) and _late(events, promise, key),
        "gave_up": lambda key: aimed.producer_window and aimed.sut_producer and _never_told(events, key),
        "key_reused": lambda key: has(key, Kind.KEY_REUSED),
    }


Operation = tuple[int | None, int | None, str, bool]
"""(place of the invocation, of the completion, outcome, whether it was the workload's)"""


def _operations(events: Sequence[Event], key: str) -> list[Operation]:
    """One for each invocation; a completion of an operation that nobody saw begin is one too."""
    found: list[Operation] = []
    used: set[int] = set()
    for place, event in enumerate(events):
        if event.kind is not Kind.INVOKE or key not in event.keys:
            continue
        end = None
        for later, other in enumerate(events):
            if other.kind is Kind.COMPLETE and key in other.keys and other.data.get("op") == event.data.get("op"):
                end = later
                break
        if end in used:
            end = None
        if end is not None:
            used.add(end)
        found.append((place, end, _outcome(events, end), event.data.get("by") != "republish"))
    orphans: set[Any] = set()
    for place, event in enumerate(events):
        name = event.data.get("op")
        begun = any(e.kind is Kind.INVOKE and key in e.keys and e.data.get("op") == name for e in events)
        if event.kind is Kind.COMPLETE and key in event.keys and not begun and name not in orphans:
            orphans.add(name)
            found.append((None, place, _outcome(events, place), False))
    return found


def _outcome(events: Sequence[Event], place: int | None) -> str:
    """Indeterminate is the default of every doubt."""
    said = None if place is None else events[place].data.get("outcome")
    return said if said in ("ok", "fail") else "info"


def _never_told(events: Sequence[Event], key: str) -> bool:
    for _, end, outcome, by_workload in _operations(events, key):
        told = end is not None and events[end].data.get("told") is True
        if by_workload and outcome == "info" and not told:
            return True
    return False


def _confirmed(events: Sequence[Event], key: str) -> bool:
    """The confirm of a message that came back takes nothing over, until it is published again."""
    returned = False
    for event in events:
        if key not in event.keys:
            continue
        if event.kind is Kind.PUBLISH:
            returned = False
        elif event.kind is Kind.RETURNED:
            returned = True
        elif event.kind is Kind.CONFIRM and event.data.get("ok") is True and not returned:
            return True
    return False


def _settled(events: Sequence[Event], key: str) -> bool:
    """Handed over, and settled by that or by a settle that the broker got and that asked for no further delivery."""
    delivered = settled = False
    for event in events:
        if key in event.keys and event.kind is Kind.DELIVER:
            delivered = True
            settled = settled or event.data.get("settled") is True
        if key in event.keys and event.kind is Kind.SETTLE:
            reached, back = event.data.get("discarded") is not True, event.data.get("requeue") is True
            settled = settled or (reached and not back)
    return delivered and settled


def _effects(events: Sequence[Event], key: str) -> list[tuple[int, str]]:
    """(place, sink) of each distinct effect; one that was recorded twice is one."""
    found: list[tuple[int, str]] = []
    names: list[tuple[str, str]] = []
    for place, event in enumerate(events):
        if event.kind is Kind.EFFECT and key in event.keys:
            sink, name = str(event.data.get("sink")), event.data.get("effect")
            if name is not None and (sink, str(name)) in names:
                continue
            if name is not None:
                names.append((sink, str(name)))
            found.append((place, sink))
    return found


def _intended(events: Sequence[Event], promise: Promise, key: str) -> Mapping[str, int] | int:
    """As the message's payload class has it, else the flow."""
    for event in events:
        if event.kind is Kind.INVOKE and key in event.keys:
            if "counts" in event.data:
                counts: Mapping[str, int] = event.data["counts"]
                return counts
            if "count" in event.data:
                return int(event.data["count"])
    return promise.counts if promise.counts else promise.count


def _lacking(events: Sequence[Event], promise: Promise, key: str) -> int:
    intended, found = _intended(events, promise, key), _effects(events, key)
    if isinstance(intended, int):
        return max(0, intended - len(found))
    return sum(max(0, count - sum(sink == name for _, sink in found)) for name, count in intended.items())


def _too_many(events: Sequence[Event], promise: Promise, key: str) -> int:
    intended, found = _intended(events, promise, key), _effects(events, key)
    if isinstance(intended, int):
        return max(0, len(found) - intended)
    sinks = {sink for _, sink in found}
    return sum(max(0, sum(other == sink for _, other in found) - intended.get(sink, 0)) for sink in sinks)


def _healed(events: Sequence[Event]) -> int | None:
    places = [place for place, event in enumerate(events) if event.kind is Kind.FAULT_HEALED]
    return places[-1] if places else None


def _late(events: Sequence[Event], promise: Promise, key: str) -> bool:
    """It has all that it owes, and had not so long after the heal, or after its publish where that came later."""
    healed = _healed(events)
    if promise.recover_within_s is None or healed is None or _lacking(events, promise, key) > 0:
        return False
    began_ns = events[healed].at_ns
    for begun, _, _, by_workload in _operations(events, key):
        if begun is not None and by_workload:
            began_ns = max(began_ns, events[begun].at_ns)
    for until in range(len(events) + 1):  # the shortest beginning of the history in which it has all
        invocations = [event for event in events if event.kind is Kind.INVOKE]
        if _lacking([*invocations, *(e for e in events[:until] if e.kind is Kind.EFFECT)], promise, key) == 0:
            return until > 0 and events[until - 1].at_ns - began_ns > promise.recover_within_s * 1e9
    return False


def _abandoned(events: Sequence[Event], key: str, aimed: Aimed, struck: int | None) -> bool:
    """Nobody has touched it since the fault, later messages went through, a restart afresh did not bring it back."""
    restarts = [place for place, event in enumerate(events) if event.kind is Kind.RESTARTED_AFRESH]
    healed = _healed(events)
    if not restarts or struck is None or healed is None:
        return False
    chance = (Kind.DRAINED, Kind.DRAIN_EXPIRED, Kind.READY, Kind.SUBSCRIBED, Kind.DELIVER)
    after = events[restarts[-1] + 1 :]
    if not any(event.kind in chance for event in after):
        return False
    if not any(event.kind is Kind.YIELDS and key in event.keys for event in after):
        return False
    gates = [e for e in events if e.kind in (Kind.GATE_HELD, Kind.GATE_CUT) and e.data.get("gate") == aimed.gate]
    held = next((gate for gate in gates if aimed.key in gate.keys), None)
    for event in events[struck + 1 :]:
        if key in event.keys and event.kind in (Kind.DELIVER, Kind.RECLAIM):
            its_own_hold = held is not None and (event.link, event.conn) == (held.link, held.conn)
            if not (event.data.get("discarded") is True and its_own_hold):
                return False
    published = _last_invoked(events, key)
    if published is None:
        return False
    for event in events[healed + 1 :]:
        if event.kind is Kind.EFFECT:
            for other in event.keys:
                later = _last_invoked(events, other)
                if later is not None and later > published:
                    return True
    return False


def _last_invoked(events: Sequence[Event], key: str) -> int | None:
    places = [place for place, event in enumerate(events) if event.kind is Kind.INVOKE and key in event.keys]
    return places[-1] if places else None


def _ordering(events: Sequence[Event], key: str) -> str | None:
    for event in events:
        if event.kind is Kind.INVOKE and key in event.keys and "ordering" in event.data:
            return str(event.data["ordering"])
    return None


def _publish(events: Sequence[Event], key: str) -> tuple[int, int] | None:
    """Begin and end of the one publish that the workload made of it, if that is known to have completed ok."""
    own = [(begun, end, outcome) for begun, end, outcome, by in _operations(events, key) if by or begun is None]
    if len(own) != 1:
        return None
    begun, end, outcome = own[0]
    return (begun, end) if begun is not None and end is not None and begun < end and outcome == "ok" else None


def _newer(events: Sequence[Event], key: str) -> list[str]:
    """Messages of its ordering key whose publish began when its own had completed."""
    name, own = _ordering(events, key), _publish(events, key)
    if name is None or own is None:
        return []
    found = []
    for other in {k for event in events for k in event.keys}:
        publish = _publish(events, other)
        if _ordering(events, other) == name and publish is not None and publish[0] > own[1]:
            found.append(other)
    return found


def _overtaken(events: Sequence[Event], key: str) -> bool:
    """In some sink a newer message was applied for the first time before it was."""
    for sink in {sink for _, sink in _effects(events, key)}:
        first = min(place for place, name in _effects(events, key) if name == sink)
        for other in _newer(events, key):
            places = [place for place, name in _effects(events, other) if name == sink]
            if places and min(places) < first:
                return True
    return False


def _leaves_an_older_state(events: Sequence[Event], key: str) -> bool:
    """In some sink it is the last of its ordering key, after a newer one; upstream's duplicates are not looked at."""
    if any(not by_workload and begun is not None for begun, _, _, by_workload in _operations(events, key)):
        return False
    name = _ordering(events, key)
    same = [other for other in {k for event in events for k in event.keys} if _ordering(events, other) == name]
    for sink in {sink for _, sink in _effects(events, key)}:
        places = [(place, other) for other in same for place, where in _effects(events, other) if where == sink]
        last = max(places)[0]
        if (last, key) not in places:
            continue
        for other in _newer(events, key):
            if any(where == sink and place < last for place, where in _effects(events, other)):
                return True
    return False


def broken(found: Sets, events: Sequence[Event], promise: Promise, aimed: Aimed) -> set[str]:
    """The kinds of finding that contradict what is declared."""
    if promise.semantic is None:
        return set()
    republished = "republish" in aimed.faults
    intended = _intended(events, promise, aimed.key)
    of_one = intended if isinstance(intended, int) else sum(intended.values())
    upstream = {aimed.key} if republished and _too_many(events, promise, aimed.key) <= of_one else set()
    kinds = {"unexpected", "phantom", "key_reused", "late", "reordered", "regressed"}
    bad = {kind for kind in kinds if found[kind]}
    if found["gave_up"]:
        bad.add("producer_gave_up")
    if promise.recover_within_s is not None and found["stuck"]:
        bad.add("stuck")
    if promise.semantic in (Semantic.AT_LEAST_ONCE, Semantic.EFFECTIVELY_ONCE):
        bad |= {kind for kind in ("lost", "stranded") if found[kind]}
        if len(found["parked"]) > (promise.max_parked or 0):
            bad.add("parked")
    if promise.semantic is Semantic.EFFECTIVELY_ONCE and found["duplicated"]:
        bad.add("duplicated")
    if promise.semantic is Semantic.AT_MOST_ONCE and found["duplicated"] - upstream:
        bad.add("duplicated")
    most = {"lost": promise.max_loss, "parked": promise.max_parked, "duplicated": promise.max_duplicates}
    for kind, allowed in most.items():
        counted = found[kind] - upstream if kind == "duplicated" else found[kind]
        if allowed is not None and len(counted) > allowed:
            bad.add("bound_exceeded")
    return bad
