"""What a sink that was told to misbehave answers whom."""

from __future__ import annotations

import asyncio

import pytest

from chaosharness.model.errors import HarnessBroke
from chaosharness.sinks.misbehaviour import Misbehaviour


def test_it_behaves_until_it_is_told_otherwise() -> None:
    sink = Misbehaviour()
    assert sink.status("k1") is None
    assert not sink.late("k1")


def test_an_outage_answers_in_turn_and_then_the_last_for_ever() -> None:
    sink = Misbehaviour()
    sink.tell({"outage": [503, 429, 0]})
    assert [sink.status(key) for key in ("k1", "k2", "k1", "k3")] == [503, 429, 0, 0]
    assert sink.tell({"outage": []}) == {"met": 4}
    assert sink.status("k1") is None
    sink.tell({"outage": [500]})
    assert [sink.status("k1"), sink.tell({"outage": []})] == [500, {"met": 1}]


def test_a_refused_key_is_refused_for_good_also_in_an_outage_and_after_it() -> None:
    sink = Misbehaviour()
    sink.tell({"refuse": {"k1": 422}})
    sink.tell({"refuse": {"k2": 0}, "outage": [503]})
    assert [sink.status(key) for key in ("k1", "k2", "k3")] == [422, 0, 503]
    sink.tell({"outage": []})
    assert [sink.status(key) for key in ("k1", "k2", "k3")] == [422, 0, None]


def test_who_is_late_is_named_anew_each_time() -> None:
    sink = Misbehaviour()
    sink.tell({"apply_late": ["k1"]})
    assert [sink.late("k1"), sink.late("k2")] == [True, False]
    sink.tell({"outage": [503]})
    assert sink.late("k1")
    sink.tell({"apply_late": []})
    assert not sink.late("k1")


def test_a_request_without_an_answer_ends_with_the_outage_or_at_once() -> None:
    async def story() -> list[bool]:
        sink = Misbehaviour()
        sink.tell({"outage": [0], "refuse": {"k2": 0}})
        during, refused = sink.unanswered("k1"), sink.unanswered("k2")
        found = [during.done(), refused.done()]
        sink.tell({"outage": []})
        await during
        return [*found, during.done(), sink.unanswered("k3").done()]

    assert asyncio.run(story()) == [False, True, True, True]


def test_a_caller_that_has_gone_meanwhile_is_not_told_again() -> None:
    async def story() -> None:
        sink = Misbehaviour()
        sink.tell({"outage": [0]})
        gone, there = sink.unanswered("k1"), sink.unanswered("k2")
        gone.set_result(None)
        sink.tell({"outage": []})
        await there

    asyncio.run(story())


def test_what_it_does_not_know_is_said_and_changes_nothing() -> None:
    sink = Misbehaviour()
    with pytest.raises(HarnessBroke, match="found explode"):
        sink.tell({"explode": 1, "outage": [503]})
    assert sink.status("k1") is None
