"""Choices seen on the wire that nobody wrote down: one `Advice` per code, with the first frame it was seen in.

Most are seen by a tap alone; `short_ttl` is a time to live held to what the flow promises.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping

from chaosharness.checkers.facts import Facts, Seen, Wire
from chaosharness.model.event import Kind
from chaosharness.model.semantic import Promise
from chaosharness.model.verdict import Advice

WHAT_TO_DO = {
    "auto_ack": (
        "a message is settled by being handed over (auto-ack, or a popping read): one that is in work when its "
        "consumer dies is gone. Acknowledge after the effect, or declare at_most_once"
    ),
    "transient": (
        "messages are published as transient: a broker that restarts forgets them. Publish them as persistent "
        "(delivery mode 2) to a durable queue"
    ),
    "no_confirms": (
        "messages are published without publisher confirms: the producer cannot know whether the broker has them. "
        "Turn confirms on and wait for them before reporting success"
    ),
    "unlimited_prefetch": (
        "the consumer sets no prefetch: one crash hands everything that waits over again. Set a prefetch of a few "
        "times what is worked on at once"
    ),
    "not_mandatory": (
        "messages are published without the mandatory flag: one that no queue takes is confirmed and dropped. Publish "
        "with mandatory and handle what is returned"
    ),
    "tx": (
        "the channel is transactional: correct, slow, and atomic for one queue only. Publisher confirms and an "
        "idempotent effect do the same for less"
    ),
    "script_on_source": (
        "a script works on the source: what it does there is not seen by the tap. Use plain commands on the source, or "
        "read this scenario's loss and duplicates with care"
    ),
    "script_on_store": (
        "a script works on the store: what it does there, and how long it lets an entry live, is not seen by the tap. "
        "It is taken for a record of the message"
    ),
}
"""Code → what it means and what to do. A code that is not here comes out with the tap's own words."""


def advise(facts: Facts, promise: Promise) -> tuple[Advice, ...]:
    """In the order in which they were first seen."""
    firsts: dict[str, Seen] = {}
    for seen in facts.of(Kind.ADVICE):
        firsts.setdefault(str(seen.get("code")), seen)
    found = [Advice(code, _text(code, seen), (seen.event,)) for code, seen in firsts.items()]
    return (*found, *_short_ttl(facts, promise))


def _short_ttl(facts: Facts, promise: Promise) -> Iterator[Advice]:
    """Where all that a store has of a message that is done with ends before that message can come no more."""
    within_s = promise.redeliver_within_s
    for key, entries in _taken(facts).items():
        lives = [seen.get("ttl_s") for seen in entries.values()]
        known = all(isinstance(ttl_s, int | float) for ttl_s in lives)
        if within_s and known and max(lives) < within_s and any(s.settles for s in facts.about(key, Kind.SETTLE)):
            text = (
                f"what is remembered of a message lives for {max(lives):g} s, and the message may come again for "
                f"{within_s:g} s (redeliver_within_s): let it live longer than that"
            )
            yield Advice("short_ttl", text, tuple(seen.event for seen in entries.values())[:1])
            return


def _taken(facts: Facts) -> Mapping[str, Mapping[str | None, Seen]]:
    """Key → entry → the last record of it that the store took, or may have taken: not every answer is seen."""
    asked: defaultdict[tuple[Wire, str], deque[Seen]] = defaultdict(deque)
    taken: dict[str, dict[str | None, Seen]] = {}
    for seen in facts.of(Kind.RECORD, Kind.RECORDED):
        for key in seen.event.keys:
            waiting = asked[seen.wire, key]
            if seen.event.kind is Kind.RECORD:
                waiting.append(seen)
            elif waiting:
                record = waiting.popleft()
                if seen.get("ok") is True:
                    taken.setdefault(key, {})[record.text("entry")] = record
    for (_, key), unanswered in asked.items():
        for record in unanswered:
            before = taken.get(key, {}).get(record.text("entry"))
            if before is None or before.at < record.at:
                taken.setdefault(key, {})[record.text("entry")] = record
    return taken


def _text(code: str, seen: Seen) -> str:
    detail = seen.get("detail")
    return WHAT_TO_DO.get(code) or (str(detail) if detail else f"the tap saw {code}")
