"""The exact upper bound of a rate, against known values and the definition; and where it is used."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from histories import history, insert
from hypothesis import given, settings
from hypothesis import strategies as st
from spine import AT_LEAST, AT_MOST, CRASH, SPINE, publish

from chaosharness.checkers.binomial import at_most, upper_bound
from chaosharness.checkers.verdict import judge
from chaosharness.model.history import Aimed
from chaosharness.model.semantic import Promise


@pytest.mark.parametrize(
    ("k", "n", "confidence", "known"),
    [
        (0, 82, 0.95, 0.0359),
        (0, 1, 0.95, 0.95),
        (1, 10, 0.95, 0.3942),
        (0, 10, 0.975, 0.3085),
        (1, 10, 0.975, 0.4450),
        (5, 100, 0.975, 0.1128),
        (10, 100, 0.975, 0.1762),
        (50, 100, 0.975, 0.6017),
        (0, 1000, 0.99, 0.0046),
        (7, 7, 0.95, 1.0),
        (0, 0, 0.95, 1.0),
    ],
)
def test_known_values(k: int, n: int, confidence: float, known: float) -> None:
    assert upper_bound(k, n, confidence) == pytest.approx(known, abs=5e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_at_the_bound_so_few_would_be_seen_with_the_rest_of_the_confidence(
    n: int, data: st.DataObject, confidence: float
) -> None:
    k = data.draw(st.integers(0, n - 1))
    rate = upper_bound(k, n, confidence)
    seen = math.fsum(math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k + 1))
    assert seen == pytest.approx(1 - confidence, rel=1e-6)
    assert at_most(k, n, rate) == pytest.approx(seen, rel=1e-6)
    if confidence >= 0.9:  # a bound of lesser confidence may lie below the rate that was seen
        assert k / n < rate < 1


def test_more_trials_and_fewer_losses_bound_it_closer() -> None:
    assert upper_bound(0, 1000) < upper_bound(0, 100) < upper_bound(1, 100) < upper_bound(2, 100)
    assert upper_bound(1, 100, 0.9) < upper_bound(1, 100, 0.99)


def test_a_large_history() -> None:
    assert upper_bound(20_000, 1_000_000) == pytest.approx(0.02023, abs=1e-5)
    assert upper_bound(0, 1_000_000) == pytest.approx(-math.log(0.05) / 1_000_000, rel=1e-5)


@pytest.mark.parametrize(("k", "n", "confidence"), [(2, 1, 0.95), (-1, 5, 0.95), (0, 5, 0.0), (0, 5, 1.0)])
def test_what_is_no_count(k: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected 0 <= k <= n"):
        upper_bound(k, n, confidence)


def notes(aimed: Aimed, text: str = CRASH.text, promise: Promise = AT_MOST) -> list[str]:
    return [note for note in judge(history(text), promise, aimed).notes if "loss " in note]


def test_a_rate_is_told_of_random_faults() -> None:
    at_random = replace(CRASH.aimed, random=True)
    more = "".join(publish(str(n), n) for n in range(100, 179))
    effects = "".join(f"effect k{n} sink=effect effect={n}\n" for n in range(100, 179))
    text = insert(CRASH.text, "gate_held", more + effects)
    assert notes(at_random, text) == ["loss at most 3.6 % (95 %, exact binomial, 0 of 82)"]
    lossy = insert(text, "gate_held", publish("200", 200))
    assert notes(at_random, lossy) == ["loss at most 5.6 % (95 %, exact binomial, 1 of 83)"]
    assert notes(replace(at_random, can_duplicate=False), text) == notes(at_random, text)


def test_none_is_told_of_aimed_faults_or_where_loss_is_forbidden() -> None:
    assert notes(CRASH.aimed) == []
    assert notes(SPINE["deliver-effect:crash"].aimed, SPINE["deliver-effect:crash"].text) == ["loss measured: 0 of 3"]
    assert notes(replace(CRASH.aimed, random=True), promise=AT_LEAST) == []
