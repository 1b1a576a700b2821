"""Notes and counts of the aftermath: the poison message's story, and the slowest recovery."""

from __future__ import annotations

from dataclasses import replace

from histories import change, insert, without
from spine import CRASH, EXACTLY, E, apply, publish
from spine_sink import SINK

BOUNDED = replace(EXACTLY, recover_within_s=5)


def story(cell: str, text: str) -> str:
    (found,) = [note for note in SINK[cell].judge(text).notes if note.startswith("poison: ")]
    return found


def test_how_often_it_was_delivered_and_what_became_of_it() -> None:
    reject, killer = "poison:reject", "poison:killer"
    text = SINK[reject].text
    assert story(reject, text) == "poison: delivered once, then dead-lettered, as it should be"
    assert story(reject, without(text, "parked k1")) == "poison: delivered once, then gone"
    held = without(change(text, "yields source", "yields k1 source"), "parked k1")
    assert story(reject, held) == "poison: delivered once, and still held"
    assert story(killer, SINK[killer].text).startswith("poison: delivered twice, killed its consumer twice, then dead-")


def test_a_malformed_message_that_was_applied_all_the_same() -> None:
    cell = "poison:malformed"
    applied = insert(without(SINK[cell].text, "parked k1"), "drain_started", apply("1", 3))
    assert story(cell, applied) == "poison: delivered once, then applied"
    assert SINK[cell].judge(applied).counts["dead_lettered"] == 0


def test_of_no_other_message_is_there_a_story() -> None:
    judgement = CRASH.judge()
    assert not any(note.startswith("poison") for note in judgement.notes)
    assert "dead_lettered" not in judgement.counts


def test_the_slowest_recovery_where_one_is_bounded() -> None:
    late = insert(CRASH.text, "drain_started", publish("3", 3) + "+1.5s connect @x.0>broker.0#9\n" + apply("3", 8, 5))
    judgement = CRASH.judge(late, BOUNDED)
    (note,) = [note for note in judgement.notes if note.startswith("slowest recovery")]
    assert note == "slowest recovery after the heal: 1.51 s (k3)"
    assert 1500 <= judgement.counts["recovery_ms"] < 1520
    unbounded = CRASH.judge(late)
    assert "recovery_ms" not in unbounded.counts
    assert not any("recovery" in note for note in unbounded.notes)


def test_what_was_done_before_the_heal_recovered_from_nothing() -> None:
    early = without(CRASH.text, "effect k9", "replay k1")
    assert E in early
    assert "recovery_ms" not in CRASH.judge(early, BOUNDED).counts
