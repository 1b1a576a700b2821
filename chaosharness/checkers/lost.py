"""`lost`: owed, fewer effects than intended, not held, not parked; always with its attribution.

The attribution is the furthest that a lost message is known to have come, looked up in this order:

1. A tap saw it handed over and not thrown away on the way (or the consumer was seen to act on it):
   - and settled for good, or settled by being handed over: `acked without effect`; of a message that can never
     succeed: `poison: settled without effect and not dead-lettered`
   - else: `delivered without effect`
2. It was handed over, each time thrown away on the way (cut, discarded, swallowed by a partition), and settled by that;
   or no tap saw it handed over, but a connection on which deliveries settle by themselves had ended, and the broker may
   have written it into that one: `never delivered`
3. The broker had it (it confirmed it and did not return it, or handed it over): `lost by the broker`. A delivery that
   was thrown away unsettled leaves the message the broker's, to hand over again.
4. Its producer reported `ok`, and that is all: `never accepted`
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from chaosharness.checkers.evidence import example, fault, pick, promised
from chaosharness.checkers.facts import Seen, after, first, last, link_of
from chaosharness.checkers.hit import KILLS_BROKER, NOTHING_IN, parse_link
from chaosharness.checkers.semantics import breaks
from chaosharness.checkers.sets import Case, poison
from chaosharness.model.event import Kind
from chaosharness.model.verdict import Finding, FindingKind

ACKED = "acked without effect"
DELIVERED = "delivered without effect"
NEVER_DELIVERED = "never delivered"
BY_THE_BROKER = "lost by the broker"
NEVER_ACCEPTED = "never accepted"
VANISHED = "poison: settled without effect and not dead-lettered"

ACTED_ON = (Kind.REQUEST, Kind.EFFECT, Kind.REPLAY, Kind.REFUSED, Kind.KEY_REUSED, Kind.DISCARDED)


def find(case: Case) -> Iterator[Finding]:
    """One finding per attribution."""
    by: dict[str, list[str]] = defaultdict(list)
    for key in sorted(case.sets.lost):
        by[attribution(case, key)].append(key)
    for words, keys in by.items():
        key = example(case, keys)
        facts = case.facts
        deliveries = facts.about(key, Kind.DELIVER)
        evidence = pick(
            promised(case, key),
            first(facts.about(key, Kind.RETURNED)),
            last([seen for seen in facts.about(key, Kind.PUBLISH) if seen.discarded]),
            first(deliveries),
            last(deliveries),
            settled_by(case, key),
            *fault(case, key),
        )
        yield Finding(FindingKind.LOST, tuple(keys), words, evidence, breaks(FindingKind.LOST, case.promise))


def attribution(case: Case, key: str) -> str:
    """One of the six; the module's docstring gives the order."""
    deliveries = case.facts.about(key, Kind.DELIVER)
    if deliveries and (case.facts.about(key, *ACTED_ON) or any(not _fell(case, seen) for seen in deliveries)):
        if settled_by(case, key):
            return VANISHED if key in poison(case.aimed) else ACKED
        return DELIVERED
    if not deliveries and key not in case.sets.confirmed:
        return NEVER_ACCEPTED
    written_away = settled_by(case, key) if deliveries else _settles_into_the_void(case)
    return NEVER_DELIVERED if written_away else BY_THE_BROKER


def settled_by(case: Case, key: str) -> Seen | None:
    """The settle that reached the broker, or the delivery that settled by itself; the last of them."""
    settles = [seen for seen in case.facts.about(key, Kind.SETTLE) if seen.settles]
    handed = [seen for seen in case.facts.about(key, Kind.DELIVER) if seen.get("settled") is True]
    return last(sorted([*settles, *handed], key=lambda seen: seen.at))


def how_settled(case: Case) -> list[str]:
    """Notes on `acked without effect`: how many messages were settled by what."""
    ways: Counter[str] = Counter()
    for key in case.sets.lost:
        settle = settled_by(case, key)
        if settle and attribution(case, key) in (ACKED, VANISHED):
            by = "by being handed over" if settle.event.kind is Kind.DELIVER else f"by {settle.get('how')}"
            ways[by] += 1
    return [f"acked without effect: {count} settled {by}" for by, count in sorted(ways.items())]


def _settles_into_the_void(case: Case) -> bool:
    """A connection with deliveries that settle by themselves ended, and the broker lived on."""
    if KILLS_BROKER & set(case.aimed.faults):
        return False
    ended = {seen.wire for seen in case.facts.of(Kind.DISCONNECT)}
    return any(seen.get("settled") is True and seen.wire in ended for seen in case.facts.of(Kind.DELIVER))


def _fell(case: Case, delivery: Seen) -> bool:
    """Thrown away at the tap, or sent into a link that was cut off at that time.

    Of a connection that was made after that nothing fell: through a link that is cut off none is opened in full.
    """
    if delivery.discarded:
        return True
    for injected in case.hit.injected:
        same = parse_link(link_of(injected)) == parse_link(delivery.event.link)
        if injected.text("fault") in NOTHING_IN and same and injected.at < delivery.at:
            healed = [seen for seen in case.facts.of(Kind.FAULT_HEALED) if seen.text("fault") == injected.text("fault")]
            made_later = any(seen.wire == delivery.wire for seen in after(case.facts.of(Kind.CONNECT), injected.at))
            if not made_later and not any(injected.at < seen.at < delivery.at for seen in healed):
                return True
    return False
