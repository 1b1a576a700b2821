"""Times are measured from the aimed message's publish, else from the fault, else from the first event."""

from __future__ import annotations

from dataclasses import replace

from report_example import BROKER, KEY, Ledger, crash_timeline, violated_crash

from chaosharness.model.event import Kind
from chaosharness.report.timeline import Zero, identity, origin_of_time, rows


def test_zero_is_the_aimed_messages_publish() -> None:
    zero = origin_of_time(violated_crash())
    assert zero.what == f"{KEY} is published"
    assert zero.ms(crash_timeline()[0]) == "-0.3"
    assert zero.ms(crash_timeline()[16]) == "+842.7"


def test_zero_is_the_fault_where_the_aimed_message_is_not_shown() -> None:
    result = replace(violated_crash(), target="k7f3q-000001")
    assert origin_of_time(result).what == "the fault is injected"


def test_zero_is_the_first_event_where_neither_is_shown() -> None:
    e = Ledger()
    events = (e(5, Kind.EFFECT), e(7, Kind.EFFECT))
    zero = origin_of_time(
        replace(
            violated_crash(),
            target=None,
            timelines={KEY: events},
            judgement=replace(violated_crash().judgement, findings=()),
        )
    )
    assert (zero.ms(events[0]), zero.ms(events[1])) == ("+0.0", "+2.0")


def test_an_empty_result_has_a_zero_too() -> None:
    bare = replace(violated_crash(), timelines={}, judgement=replace(violated_crash().judgement, findings=()))
    assert origin_of_time(bare).at_ns == 0


def test_rows_mark_faults_and_evidence() -> None:
    events = crash_timeline()
    held, signalled, injected = events[8], events[9], events[12]
    shown = rows((held, signalled, injected), Zero(held.at_ns, ""), {identity(held), identity(injected)})
    assert [(row.fault, row.evidence) for row in shown] == [(False, True), (True, False), (True, True)]
    assert [row.ms for row in shown] == ["+0.0", "+1.9", "+4.8"]
    assert [row.where for row in shown] == [f"{BROKER} #3", "payment.0", BROKER]


def test_what_the_sentence_says_is_not_said_again_as_data() -> None:
    e = Ledger()
    told = e(0, Kind.FAULT_INJECTED, fault="cut", ok=True, evidence={"ok": True, "what": "gone", "facts": {"pid": 7}})
    assert rows((told,), Zero(0, ""))[0].data == 'fault=cut ok=true evidence={"facts": {"pid": 7}}'
