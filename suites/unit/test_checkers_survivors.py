"""Small rules that the wide histories pass over: when the fault struck, what is advised, what is said to be missing.

Each test here is on a literal history and found out changes of the checkers that no other test did: see `ci/mutants`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from histories import change, history, insert, without
from spine import AT_MOST, CRASH, EXACTLY, SPINE, C, E, publish
from spine_store import BOUNDED, STORE, record
from test_checkers_preconditions import codes, lacks, proves

from chaosharness.checkers.facts import gather
from chaosharness.checkers.hit import find_hit
from chaosharness.checkers.verdict import judge
from chaosharness.model.event import Event
from chaosharness.model.history import Aimed
from chaosharness.model.verdict import Advice, Code, FindingKind

GREEN = CRASH.text
WIPE = STORE["dedup:wipe"].text
PLUGINS = replace(CRASH.aimed, faults=("brand-new",))
PLUGINS_TEXT = without(GREEN, "signalled").replace("fault=crash", "fault=brand-new")


def lines(*events: Event) -> list[str]:
    return [f"{event.kind.value} {event.key or ''}".strip() for event in events]


# when the fault struck


def struck(text: str, aimed: Aimed) -> Event:
    """The fault's first act."""
    told = history(text)
    at = find_hit(gather(told), aimed).struck
    assert at is not None
    return told.events[at]


def test_a_republish_strikes_when_the_aimed_message_is_published_again() -> None:
    """Neither when the workload published it, nor when another message is published, nor once it is confirmed."""
    scenario = SPINE["store-confirm:republish"]
    text = insert(scenario.text, "invoke k1 op=101", publish("3", 3))
    assert struck(text, scenario.aimed).data["op"] == 101
    elsewhere = insert(scenario.text, "invoke k1 op=101", "invoke k3 op=103 producer=harness by=republish")
    assert struck(elsewhere, scenario.aimed).data["op"] == 101


def test_another_faults_republish_is_no_act_of_it() -> None:
    text = insert(GREEN, "signalled", "invoke k1 op=101 producer=harness by=republish")
    assert lines(struck(text, CRASH.aimed)) == ["signalled"]


def test_a_fault_of_a_plugin_strikes_with_the_first_that_was_seen_of_it() -> None:
    """A signal, the beginning of its injection, or, for want of both, the end of that."""
    assert lines(struck(PLUGINS_TEXT, PLUGINS)) == ["fault_injected"]
    begun = insert(PLUGINS_TEXT, "gate_released", "step what=inject fault=brand-new")
    assert lines(struck(begun, PLUGINS)) == ["step"]
    assert lines(struck(insert(begun, "step", "signalled instance=other.0 signal=kill"), PLUGINS)) == ["signalled"]


def test_an_act_before_the_gate_had_the_message_is_none_of_this_fault() -> None:
    early = "signalled instance=other.0 signal=kill\nstep what=inject fault=brand-new\nfault_injected fault=brand-new"
    assert lines(struck(insert(PLUGINS_TEXT, "gate_held", early), PLUGINS)) == ["fault_injected"]
    assert struck(insert(PLUGINS_TEXT, "gate_held", early), PLUGINS).data["ok"] is True


@pytest.mark.parametrize("where", ["", "@somewhere#1"])
def test_of_a_gate_on_no_link_nobody_knows_which_replica_had_the_message(where: str) -> None:
    text = change(GREEN, f"gate_held k1 @{C}#1", f"gate_held k1 {where}")
    hit = find_hit(gather(history(text)), CRASH.aimed)
    assert (hit.link, hit.instance, hit.signalled) == (None, None, {})
    assert "fault_evidence" in codes(CRASH.judge(text))


# quiet_end


def why_not_quiet(text: str, aimed: Aimed = CRASH.aimed) -> str | None:
    missing = judge(history(text), EXACTLY, aimed).missing
    return next((one.why for one in missing if one.code is Code.QUIET_END), None)


def test_what_kept_it_from_being_quiet_is_said() -> None:
    assert why_not_quiet(without(GREEN, "stopped")) == "the flow's services were not stopped after the drain"
    of_two = replace(CRASH.aimed, stopped_by=("payment.0", "orders.0"))
    assert why_not_quiet(change(GREEN, '["payment.0"]', "[]"), of_two) == (
        "not stopped after the drain: orders.0, payment.0"
    )
    unknown = replace(CRASH.aimed, faults=("brand-new", "as-new"))
    assert why_not_quiet(GREEN, unknown) == "nobody said whether anything could still act after as-new, brand-new"
    unanswered = insert(GREEN, "gate_held", "invoke k3 op=3 producer=orders")
    assert why_not_quiet(unanswered, replace(CRASH.aimed, sut_producer=True)) == (
        "nobody waited out what could still act before the stop: the producer has not answered for k3"
    )


def test_a_producer_that_has_answered_for_all_need_not_be_waited_out() -> None:
    assert why_not_quiet(GREEN, replace(CRASH.aimed, sut_producer=True)) is None


def test_what_a_restart_with_a_new_identity_started_must_be_stopped_too() -> None:
    afresh = 'restarted_afresh instances=["payment.0"]'
    stop = 'stopped instances=["payment.0"]'
    lacks(insert(GREEN, "yields", afresh), "quiet_end")
    proves(insert(GREEN, "yields", f"{afresh}\n{stop}"))


def test_that_another_instance_has_exited_stops_nobody() -> None:
    unstopped = change(GREEN, '["payment.0"]', '["orders.0"]')
    others = "exited instance=orders.0 pid=7 incarnation=1 code=0 asked=true gone=true"
    lacks(insert(unstopped, "drain_started", others), "quiet_end")


def test_an_exit_after_the_stop_was_too_late_for_it() -> None:
    unstopped = change(GREEN, '["payment.0"]', '["orders.0"]')
    gone = "exited instance=payment.0 pid=101 incarnation=2 code=0 asked=true gone=true"
    lacks(insert(unstopped, "yields", gone), "quiet_end")


def test_one_of_two_requests_is_under_way_until_both_have_ended() -> None:
    request, replayed = f"request k2 @{E}#5 sink=effect\n", f"replay k2 @{E}#5 sink=effect\n"
    lacks(insert(GREEN, "stopped", request * 2 + replayed), "quiet_end")
    proves(insert(GREEN, "stopped", request * 2 + replayed * 2))


def test_what_the_stop_itself_ends_was_under_way_until_then() -> None:
    """That its connection closes with the process is no outcome."""
    text = insert(GREEN, "stopped", f"request k2 @{E}#5 sink=effect")
    lacks(insert(text, "yields", f"disconnect @{E}#5 by=client"), "quiet_end")


# advice


def short_ttl(text: str) -> list[Advice]:
    return [one for one in STORE["dedup:wipe"].judge(text, BOUNDED).advice if one.code == "short_ttl"]


def test_a_short_time_to_live_is_shown_in_one_record() -> None:
    """However many entries live too short."""
    second = record(ttl_s="90").replace("done:k1", "note:k1")
    (advice,) = short_ttl(insert(WIPE, "gate_held", second))
    assert [event.data["entry"] for event in advice.evidence] == ["done:k1"]
    assert "lives for 90 s" in advice.text, "the longest counts"


def test_a_record_that_nobody_saw_answered_may_be_all_that_there_is() -> None:
    (advice,) = short_ttl(without(WIPE, "recorded k1"))
    assert lines(*advice.evidence) == ["record k1"]
    assert "lives for 60 s" in advice.text


def test_a_record_that_nobody_saw_answered_takes_the_place_of_its_own_entry() -> None:
    """It may have shortened what lived long enough."""
    shortened = record(conn=9, ttl_s="3").replace("recorded k1", "# recorded k1")
    (advice,) = short_ttl(insert(WIPE.replace("ttl_s=60", "ttl_s=7200"), "gate_held", shortened))
    assert "lives for 3 s" in advice.text
    assert (
        short_ttl(insert(WIPE.replace("ttl_s=60", "ttl_s=7200"), "gate_held", shortened.replace("done", "note"))) == []
    )


def test_a_code_that_nobody_explains_is_still_told() -> None:
    (advice,) = CRASH.judge(insert(GREEN, "gate_held", f"advice k2 @{C}#1 code=brand_new")).advice
    assert (advice.text, lines(*advice.evidence)) == ("the tap saw brand_new", ["advice k2"])


# producer_gave_up


def test_of_three_attempts_that_nobody_answered_two_are_shown() -> None:
    scenario = SPINE["publish-store:publish-lost"]
    attempts = "".join(f"invoke k3 op={op} producer=orders\ncomplete k3 op={op} outcome=info\n" for op in (31, 32, 33))
    text = insert(insert(scenario.text, "drain_started", attempts), "stopped", "quiet why=unanswered waited_s=1")
    (found,) = [one for one in scenario.judge(text, AT_MOST).findings if one.kind is FindingKind.PRODUCER_GAVE_UP]
    assert [event.data["op"] for event in found.evidence if "op" in event.data] == [31, 31, 32, 32]
