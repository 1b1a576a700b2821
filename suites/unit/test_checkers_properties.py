"""What must hold of any history: `judge` is total, deterministic and fast, and never upholds what was not shown."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from typing import Any

import pytest
from histories import close, events, history
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spine import AT_LEAST, AT_MOST, CRASH, EXACTLY, PROBE, SPINE, C, E

from chaosharness.checkers.preconditions import TO_VIOLATE
from chaosharness.checkers.verdict import judge
from chaosharness.model.event import Event, Kind
from chaosharness.model.history import History
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.verdict import Verdict

REQUIRED = {
    "effect-ack:crash": (
        "ready link", "gate_held", "signalled", "exited", "broker.0#1 by=client", "fault_injected", "fault_healed",
        "deliver k1 @payment.0>broker.0#4", "invoke k9", "effect k9", "effect k2", "drained within", "stopped",
    ),
    "deliver-effect:crash": ("gate_held", "signalled", "exited", "effect.effect.0#3 by=client", "effect k1"),
    "effect-response:crash": ("gate_held", "signalled", "exited", "deliver k1 @payment.0>broker.0#4"),
    "ack-settle:ack-lost": ("gate_cut", "by=tap", "fault_injected", "fault_healed", "deliver k1 @payment.0>broker.0#4"),
    "publish-store:publish-lost": ("gate_cut", "by=tap", "fault_injected", "fault_healed", "complete k1", "effect k1"),
    "store-confirm:confirm-lost": ("gate_cut", "by=tap", "fault_injected", "fault_healed", "complete k1", "effect k1"),
    "store-confirm:republish": ("gate_held", "invoke k1 op=101", "fault_injected", "fault_healed", "effect k1"),
    "stored:broker-kill": (
        "gate_held", "signalled", "exited", "by=server", "started instance=rabbitmq.0 pid=51", "fault_injected",
        "fault_healed", "effect k1",
    ),
    "store-deliver:cut": ("gate_cut", "by=tap", "fault_injected", "fault_healed", "effect k1"),
    "effect-ack:partition": (
        "gate_held", "gate_released", "fault_injected", "fault_healed", "deliver k1 @payment.0>broker.0#4", "quiet why",
    ),
}  # fmt: skip
"""Lines of each green history without which nothing may be upheld."""
CUTS = [(cell, line) for cell, lines in REQUIRED.items() for line in lines]
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
"""The same examples in each run, however busy the machine is."""
PROMISES = [
    EXACTLY, AT_LEAST, AT_MOST, PROBE,
    Promise(Semantic.EFFECTIVELY_ONCE, count=2, counts={"effect": 1, "mail": 1}, recover_within_s=1.0),
    Promise(Semantic.AT_LEAST_ONCE, count=0, max_loss=0, max_duplicates=0, max_parked=0),
]  # fmt: skip


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_every_scenario_has_required_lines() -> None:
    assert set(REQUIRED) == set(SPINE)
    for cell, line in CUTS:
        assert sum(line in one for one in lines_of(SPINE[cell].text)) >= 1, (cell, line)


@settings(CALM, max_examples=150)
@given(st.sampled_from(CUTS), st.data())
def test_nothing_is_upheld_without_what_it_rests_on(cut: tuple[str, str], data: st.DataObject) -> None:
    """One required line is gone, and any others may be too."""
    cell, required = cut
    lines = [line for line in lines_of(SPINE[cell].text) if required not in line]
    gone = data.draw(st.sets(st.integers(0, len(lines) - 1), max_size=3))
    text = "\n".join(line for at, line in enumerate(lines) if at not in gone)
    judgement = SPINE[cell].judge(text)
    assert judgement.verdict is not Verdict.UPHELD
    if judgement.verdict is Verdict.VIOLATED:
        assert any(finding.breaks for finding in judgement.findings)


@pytest.mark.parametrize(("cell", "line"), CUTS)
def test_each_required_line_by_itself(cell: str, line: str) -> None:
    text = "\n".join(one for one in lines_of(SPINE[cell].text) if line not in one)
    assert SPINE[cell].judge(text).verdict in (Verdict.UNPROVEN, Verdict.VIOLATED)


KEYS = st.lists(st.sampled_from(["k1", "k2", "k9", ""]), max_size=3).map(tuple)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.sampled_from(["g", "ok", "told", "payment.0", C]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["what", "x"]), inner, max_size=2),
    max_leaves=3,
)
NAMES = [
    "op", "outcome", "told", "by", "ok", "source", "settled", "requeue", "discarded", "gate", "forwarded", "why",
    "bytes", "effect", "sink", "idempotency_key", "instance", "instances", "gone", "asked", "signal", "fault",
    "evidence", "link", "count", "place", "redelivered", "how", "what", "code", "detail",
]  # fmt: skip
SOUP = st.lists(
    st.builds(
        Event,
        seq=st.integers(1, 99),
        at_ns=st.integers(0, 10**11),
        origin=st.sampled_from(["harness", "relay", "keeper"]),
        kind=st.sampled_from(list(Kind)),
        keys=KEYS,
        link=st.sampled_from([None, C, E, "harness.0>broker.0", "nonsense"]),
        conn=st.sampled_from([None, 1, 2]),
        data=st.dictionaries(st.sampled_from(NAMES), JUNK, max_size=6),
    ),
    max_size=30,
)


@settings(CALM, max_examples=200)
@given(SOUP, st.sampled_from(PROMISES), st.sampled_from(sorted(SPINE)), st.booleans())
def test_any_soup_has_a_verdict(soup: list[Event], promise: Promise, cell: str, mixed: bool) -> None:
    """Alone, or mixed into a green history; and the same one twice."""
    green = events(SPINE[cell].text) if mixed else []
    mess = History.merged([*green, *soup])
    first = judge(mess, promise, SPINE[cell].aimed)
    assert first == judge(mess, promise, SPINE[cell].aimed)
    for finding in first.findings:
        assert all(event in mess.events for event in finding.evidence)
        assert len(finding.evidence) <= 8
        assert finding.keys == tuple(sorted(finding.keys))
    if first.verdict is Verdict.VIOLATED:
        assert any(finding.breaks and finding.waived is None for finding in first.findings)
    if first.verdict is Verdict.UPHELD:
        assert not any(finding.breaks for finding in first.findings)
    assert (first.verdict is Verdict.UNPROVEN) == bool(first.missing)
    assert all(isinstance(count, int) for count in first.counts.values())


@pytest.mark.parametrize("junk", [None, [], [[]], {}, {"what": []}, 0, -1, 1.5, "", "x", True], ids=repr)
@pytest.mark.parametrize("cell", SPINE)
def test_data_of_the_wrong_shape_reads_as_absent(cell: str, junk: object) -> None:
    """One event of every kind, all of whose data is junk, in the middle and at the end of a green history."""
    green = events(SPINE[cell].text)
    data = dict.fromkeys(NAMES, junk)
    for at_ns in (green[len(green) // 2].at_ns, green[-1].at_ns):
        mess = [Event(900, at_ns, "relay", kind, ("k1",), C, 1, {**data, "gate": "g"}) for kind in Kind]
        mess += [Event(900, at_ns, "harness", kind, ("k1",), None, None, data) for kind in Kind]
        for promise in PROMISES:
            assert judge(History.merged([*green, *mess]), promise, SPINE[cell].aimed).verdict is not Verdict.UPHELD


@settings(CALM, max_examples=100)
@given(st.sampled_from(sorted(SPINE)), st.randoms(use_true_random=False))
def test_a_shuffled_history_never_proves_a_violation(cell: str, rng: random.Random) -> None:
    """Whatever the order, nothing was lost or applied twice; at most the proof is gone."""
    found = events(SPINE[cell].text)
    moments = [event.at_ns for event in found]
    rng.shuffle(moments)
    shuffled = [replace(event, at_ns=at_ns) for event, at_ns in zip(found, moments, strict=True)]
    judgement = judge(History.merged(close(shuffled)), EXACTLY, SPINE[cell].aimed)
    assert judgement.verdict in (Verdict.UPHELD, Verdict.UNPROVEN)
    assert judgement.findings == ()


def test_violated_needs_what_semantics_says() -> None:
    assert {code.value for code in TO_VIOLATE} == {
        "workload_ran", "window_hit", "hold_first", "fault_evidence", "drained", "observed_whole", "quiet_end",
    }  # fmt: skip


def test_ten_thousand_events_are_judged_in_a_moment() -> None:
    """In processor time, since the machine may be busy; about 30 ms are usual."""
    green = history(CRASH.text).events
    more: list[Event] = []
    for number in range(1430):
        key = f"k{number + 100}"
        for at, event in enumerate(e for e in green if e.keys == ("k2",) and e.kind is not Kind.END):
            data = {**event.data, **({"op": key} if "op" in event.data else {})}
            if event.kind is Kind.EFFECT:
                data = {**data, "effect": key}
            more.append(replace(event, seq=10_000 + number, at_ns=event.at_ns + at, keys=(key,), data=data))
    large = History.merged([*green, *more])
    assert len(large.events) > 10_000
    began = time.process_time()
    judgement = judge(large, EXACTLY, CRASH.aimed)
    assert time.process_time() - began < 0.5
    assert judgement.verdict is Verdict.UPHELD
