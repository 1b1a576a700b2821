"""Every finding kind, every code and every fault has something red and something green, or says why not yet."""

from __future__ import annotations

import test_checkers_broker
import test_checkers_fault_evidence
import test_checkers_findings
import test_checkers_lost
import test_checkers_order
import test_checkers_preconditions
import test_checkers_replica
import test_checkers_sink
import test_checkers_spine
import test_checkers_store
from spine import SPINE
from spine_broker import BROKER
from spine_replica import REPLICA
from spine_sink import SINK
from spine_store import STORE

from chaosharness.checkers.evidence_of_fault import OWN
from chaosharness.checkers.preconditions import PRECONDITIONS
from chaosharness.checkers.verdict import CHECKERS
from chaosharness.model.verdict import Code, FindingKind
from chaosharness.model.window import FAULTS, WINDOWS

TESTS = {
    name
    for module in (
        test_checkers_broker,
        test_checkers_fault_evidence,
        test_checkers_findings,
        test_checkers_lost,
        test_checkers_order,
        test_checkers_preconditions,
        test_checkers_replica,
        test_checkers_sink,
        test_checkers_spine,
        test_checkers_store,
    )
    for name in vars(module)
    if name.startswith("test_")
}
K = FindingKind
FINDINGS: dict[FindingKind, tuple[str, str]] = {
    K.LOST: ("test_acked_without_effect", "test_not_lost_with_its_effect"),
    K.STRANDED: ("test_stranded", "test_not_stranded_but_stuck"),
    K.STUCK: ("test_stuck", "test_not_stuck_when_it_drained"),
    K.PARKED: ("test_parked", "test_not_lost_with_its_effect"),
    K.DUPLICATED: ("test_duplicated", "test_a_redelivery_or_an_effect_recorded_twice_is_no_duplicate"),
    K.UNEXPECTED: ("test_unexpected", "test_not_lost_with_its_effect"),
    K.PHANTOM: ("test_phantom", "test_indeterminate_then_seen"),
    K.REORDERED: ("test_reordered", "test_a_replay_is_no_reordering"),
    K.REGRESSED: ("test_regressed", "test_the_last_message_of_all_may_come_again"),
    K.KEY_REUSED: ("test_key_reused", "test_a_replay_reuses_no_key"),
    K.PRODUCER_GAVE_UP: ("test_producer_gave_up", "test_a_producer_that_tells_has_not_given_up"),
    K.LATE: ("test_late", "test_not_late"),
    K.BOUND_EXCEEDED: ("test_bound_exceeded", "test_a_republished_duplicate_is_upstreams"),
}
"""Kind → its red and its green test."""

CODES: dict[Code, tuple[str, str]] = {
    Code.WORKLOAD_RAN: (
        "test_kept_back_messages_must_have_been_published_after_the_heal",
        "test_without_kept_back_messages_the_workload_ran",
    ),
    Code.READY_BEFORE_PUBLISH: (
        "test_a_consumer_must_be_ready_before_the_first_publish",
        "test_every_link_that_consumes_must_have_been_ready",
    ),
    Code.OWED_TARGET: (
        "test_the_aimed_message_must_be_owed",
        "test_in_a_producer_window_its_publish_must_have_an_answer",
    ),
    Code.WINDOW_HIT: (
        "test_the_gate_must_have_had_the_aimed_message",
        "test_a_gate_that_was_skipped_and_then_hit_is_a_hit",
    ),
    Code.HOLD_FIRST: ("test_the_hold_itself_must_not_make_anyone_act", "test_others_may_act_while_the_message_is_held"),
    Code.FAULT_EVIDENCE: (
        "test_every_fault_needs_its_injection_its_evidence_and_its_heal",
        "test_a_fault_of_a_plugin_stands_on_its_own_evidence",
    ),
    Code.PROGRESS_AFTER: (
        "test_something_published_after_the_heal_must_have_come_through",
        "test_where_no_effect_is_intended_a_settle_is_progress",
    ),
    Code.DRAINED: ("test_the_drain_must_have_ended", "test_a_drain_that_expired_over_what_is_known_to_be_lost_is_over"),
    Code.REDELIVERED: (
        "test_a_redelivery_that_is_promised_and_due_must_come_and_have_a_consequence",
        "test_no_redelivery_is_due_where_the_delivery_was_settled",
    ),
    Code.OBSERVED_WHOLE: (
        "test_everything_must_have_been_seen",
        "test_unkeyed_messages_may_be_ignored_by_declaration",
    ),
    Code.QUIET_END: (
        "test_what_the_fault_left_alive_must_be_waited_out",
        "test_what_had_exited_for_good_needs_no_stop",
    ),
}
"""Code → its red and its green test."""

SCENARIOS: dict[str, str] = {
    "deliver-effect:crash": "test_deliver_effect_crash_red",
    "effect-response:crash": "test_effect_response_crash_red",
    "effect-ack:crash": "test_effect_ack_crash_red",
    "ack-settle:ack-lost": "test_ack_lost_red",
    "publish-store:publish-lost": "test_publish_lost_red",
    "store-confirm:confirm-lost": "test_confirm_lost_red",
    "store-confirm:republish": "test_republish_red",
    "stored:broker-kill": "test_broker_kill_red",
    "store-deliver:cut": "test_cut_red",
    "effect-ack:partition": "test_partition_red",
}
"""`window:fault` → its red test in test_checkers_spine; the green one is `test_green` over all of them."""
RED_OF_A_REPLICA: dict[str, str] = {
    "crash-child": "test_crash_child_red",
    "crash-parent": "test_crash_parent_red",
    "term": "test_term_and_leave_red",
    "freeze": "test_freeze_red",
    "leave": "test_term_and_leave_red",
    "join": "test_join_red",
}
OF_A_REPLICA = {cell: RED_OF_A_REPLICA[cell.partition(":")[2]] for cell in REPLICA}
"""The same of test_checkers_replica."""
OF_A_SINK: dict[str, str] = {
    "deliver-effect:outage": "test_outage_red",
    "effect-response:response-lost": "test_a_retry_that_the_sink_cannot_tell_from_another_is_a_duplicate",
    "effect-response:apply-late": "test_a_retry_that_the_sink_cannot_tell_from_another_is_a_duplicate",
    "poison:reject": "test_a_poison_message_that_is_nowhere_is_lost",
    "poison:malformed": "test_a_poison_message_that_is_nowhere_is_lost",
    "poison:killer": "test_a_poison_message_that_is_nowhere_is_lost",
}
"""The same of test_checkers_sink."""
OF_A_STORE: dict[str, str] = {
    "dedup:wipe": "test_what_only_the_store_knew_is_done_again",
    "dedup:expire": "test_what_only_the_store_knew_is_done_again",
    "dedup:restart": "test_one_that_fails_open_does_it_again",
    "dedup:unreachable": "test_one_that_fails_open_does_it_again",
    "dedup:crash": "test_effect_before_record_red",
    "dedup:latency": "test_its_own_late_claim_red",
    "slow:expire": "test_at_work_red",
}
"""The same of test_checkers_store."""
RED_OF_THE_BROKER: dict[str, str] = {
    "partition": "test_partition_red",
    "partition-in": "test_partition_red",
    "partition-out": "test_partition_red",
    "latency": "test_a_time_out_that_was_too_short_red",
    "bandwidth": "test_a_time_out_that_was_too_short_red",
    "slice": "test_a_time_out_that_was_too_short_red",
    "reset": "test_settled_by_being_handed_over_red",
    "refuse": "test_a_time_out_that_was_too_short_red",
    "broker-kill": "test_broker_ends_red",
    "broker-restart": "test_broker_ends_red",
    "broker-freeze": "test_a_time_out_that_was_too_short_red",
    "alarm": "test_alarm_red",
    "slow": "test_slow_red",
}
OF_THE_BROKER = {cell: RED_OF_THE_BROKER[cell.partition(":")[2]] for cell in BROKER}
"""The same of test_checkers_broker."""
NOT_JUDGED_YET: set[str] = set()
"""Faults that no scenario of this version injects."""


def test_every_finding_kind_has_a_red_and_a_green_test() -> None:
    assert set(CHECKERS) == set(FINDINGS) == set(FindingKind)
    for red, green in FINDINGS.values():
        assert red in TESTS
        assert green in TESTS


def test_every_code_has_a_red_and_a_green_test() -> None:
    assert set(PRECONDITIONS) == set(CODES) == set(Code)
    for red, green in CODES.values():
        assert red in TESTS
        assert green in TESTS


def test_every_scenario_and_every_fault_has_a_red_and_a_green_history() -> None:
    assert set(SCENARIOS) == set(SPINE)
    assert set(OF_A_REPLICA) == set(REPLICA)
    assert set(OF_A_SINK) == set(SINK)
    assert set(OF_A_STORE) == set(STORE)
    assert set(OF_THE_BROKER) == set(BROKER)
    scenarios = SCENARIOS | OF_A_REPLICA | OF_A_SINK | OF_A_STORE | OF_THE_BROKER
    for cell, red in scenarios.items():
        assert cell.partition(":")[0] in WINDOWS
        assert red in TESTS
    judged = {cell.partition(":")[2] for cell in scenarios}
    assert judged | NOT_JUDGED_YET == set(FAULTS)
    assert not judged & NOT_JUDGED_YET
    assert judged <= set(OWN) <= set(FAULTS)
