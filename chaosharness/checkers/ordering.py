"""Which messages of one ordering key kept their order, and which did not: `reordered`, `regressed`.

Goes in: `Facts`. Comes out: frozen `Order`. Two messages are compared only where the publish of one had completed `ok`
before that of the other began: what overlaps, or ended otherwise, has no order that anybody was promised. That is why
the workload keeps one operation of an ordering key outstanding at most. Effects are compared within one sink.

A producer's own retry is part of its operation, which ends with the last of them: nothing to allow for. A republished
message is upstream's duplicate: its first effect is compared as any other, but what its second copy leaves as the final
state is upstream's doing. An effect recorded twice, a replay and a redelivery are no effects.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from chaosharness.checkers.facts import Facts, Operation, Seen

Applied = tuple[str, Seen]
"""A message and an effect of it."""
Pair = tuple[str, Seen, Seen]
"""A newer message, its effect, and the later one of an older message."""


@dataclass(frozen=True, slots=True)
class Order:
    """What became of the order."""

    compared: int
    """Messages that had an older one to be compared with."""
    reordered: dict[str, Pair]
    """Messages whose first effect came after that of a newer one."""
    regressed: dict[str, Pair]
    """Messages whose effect is the last of their ordering key, after that of a newer one: the final state is older."""


@dataclass(frozen=True, slots=True)
class _Published:
    key: str
    began: int
    ended: int
    republished: bool


def compare(facts: Facts) -> Order:
    """All ordering keys that the workload named."""
    ordered = defaultdict[str, list[str]](list)
    for key, operations in facts.operations.items():
        if (name := _ordering_key(operations)) is not None:
            ordered[name].append(key)
    compared, reordered, regressed = 0, dict[str, Pair](), dict[str, Pair]()
    for keys in ordered.values():
        published = sorted(filter(None, (_published(facts, key) for key in keys)), key=lambda one: one.began)
        ends = [one.ended for one in published]
        compared += sum(min(ends) < one.began for one in published)
        for effects in _by_sink(facts, keys):
            reordered |= _reordered(published, effects)
            regressed |= _regressed(published, effects)
    return Order(compared, reordered, regressed)


def _ordering_key(operations: Sequence[Operation]) -> str | None:
    return next((name for op in operations if op.invoked and (name := op.invoked.text("ordering")) is not None), None)


def _published(facts: Facts, key: str) -> _Published | None:
    """The message's one publish, where it is known to have completed `ok`."""
    own = [op for op in facts.operations[key] if op.by_workload or op.invoked is None]
    if len(own) != 1 or own[0].outcome != "ok":
        return None
    began, ended = own[0].invoked, own[0].completed
    if began is None or ended is None or ended.at < began.at:
        return None
    return _Published(key, began.at, ended.at, len(own) < len(facts.operations[key]))


def _by_sink(facts: Facts, keys: Sequence[str]) -> list[list[Applied]]:
    """For each sink, the effects of these keys in order."""
    sinks = defaultdict[str, list[Applied]](list)
    for key in keys:
        for seen in facts.effects.get(key, ()):
            sinks[str(seen.get("sink"))].append((key, seen))
    return [sorted(found, key=lambda one: one[1].at) for found in sinks.values()]


def _reordered(published: Sequence[_Published], effects: Sequence[Applied]) -> dict[str, Pair]:
    firsts: dict[str, Seen] = {}
    for key, seen in effects:
        firsts.setdefault(key, seen)
    applied = [one for one in published if one.key in firsts]
    earliest: list[Applied] = []  # the earliest first effect from each message on
    for one in reversed(applied):
        own = (one.key, firsts[one.key])
        earliest.append(min([own, *earliest[-1:]], key=lambda found: found[1].at))
    earliest.reverse()
    began = [one.began for one in applied]
    found: dict[str, Pair] = {}
    for one in applied:
        newer = bisect_right(began, one.ended)
        if newer < len(applied) and earliest[newer][1].at < firsts[one.key].at:
            found[one.key] = (*earliest[newer], firsts[one.key])
    return found


def _regressed(published: Sequence[_Published], effects: Sequence[Applied]) -> dict[str, Pair]:
    key, final = effects[-1]
    older = next((one for one in published if one.key == key and not one.republished), None)
    if older is None:
        return {}
    newer = {one.key for one in published if one.began > older.ended}
    earlier = [one for one in effects if one[0] in newer]
    return {key: (*earlier[0], final)} if earlier else {}
