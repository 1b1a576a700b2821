"""One precondition sabotaged at a time: the same flow, upheld without it, is then `unproven`, by that code's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from bench import Bench, missing, running, said

from chaosharness.faults.crash import Crash
from chaosharness.ledger.reader import merge
from chaosharness.model.address import BROKER, LinkId
from chaosharness.model.history import History
from chaosharness.model.verdict import Verdict
from chaosharness.ports.launch import Evidence, Instance, Signal
from chaosharness.ports.plugin import Injection, Message, Release, Target
from chaosharness.scenario import readiness
from chaosharness.scenario import run as scenario_run
from chaosharness.scenario.breaking import Breaking
from chaosharness.scenario.ending import Ending
from chaosharness.scenario.tickets import GateTicket
from chaosharness.scenario.workload import Workload

CELL = "effect-ack:crash"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("sabotage")) as bench:
        yield bench


# fault_evidence


class KillsNothing(Crash):
    """Says that it has killed, and has not; what was held goes on."""

    release = Release.FORWARD

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        yield Injection(Evidence(True, "SIGKILL"), Evidence(True, "restarted"))


def test_a_kill_that_kills_nothing(bench: Bench) -> None:
    bench.green(CELL)
    with bench.registry.replaced(KillsNothing()):
        lacks = missing(bench.run(CELL))
    assert lacks == {"fault_evidence": "crash: no SIGKILL of clerk.0 after the message was held"}


def test_a_partition_of_another_link(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench.flow.consumer
    two = replace(bench.flow, consumer=replace(bench.flow.consumer, replicas=2))
    bench.green("effect-ack:partition", two)
    original = Breaking._target

    def beside(self: Breaking, ticket: GateTicket, prepared: Evidence | None) -> Target:
        target = original(self, ticket, prepared)
        others = {"clerk.0": LinkId("clerk", 1, BROKER), "clerk.1": LinkId("clerk", 0, BROKER)}
        return replace(target, link=self.wiring.links[others[target.link.id.partition(">")[0]]])

    monkeypatch.setattr(Breaking, "_target", beside)
    assert two.consumer
    brief = replace(
        two, consumer=replace(two.consumer, stop_grace_s=1.0), promise=replace(two.promise, drain_within_s=3.0)
    )
    lacks = missing(bench.run("effect-ack:partition", brief))
    assert "fault_evidence" in lacks
    assert "the link that was cut off is clerk." in lacks["fault_evidence"]


# workload_ran


def test_a_workload_that_sends_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.green(CELL)
    monkeypatch.setattr(Workload, "_send_all", lambda self, messages: None)
    result = bench.run(CELL)
    lacks = missing(result)
    assert lacks["workload_ran"] == "no message was published"
    assert result.judgement.counts["owed"] == 0


def test_a_workload_that_stops_at_the_fault(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept back until after the heal never comes: nothing shows that the flow works again."""
    bench.green(CELL)
    original = Workload._send_all

    def first_only(self: Workload, messages: Sequence[Message]) -> None:
        if messages is not self._parts[1]:
            original(self, messages)

    monkeypatch.setattr(Workload, "_send_all", first_only)
    lacks = missing(bench.run(CELL))
    assert set(lacks) == {"workload_ran", "progress_after"}
    assert lacks["workload_ran"] == "of 3 messages kept back until after the heal 0 were published"


def test_a_workload_of_one_message(bench: Bench) -> None:
    """It is kept back until after the heal, so that nothing is there to be broken."""
    bench.green(CELL)
    one = replace(bench.flow, workload=replace(bench.flow.workload, messages=1))
    lacks = missing(bench.run(CELL, one))
    assert {"window_hit", "fault_evidence", "progress_after"} <= set(lacks)


# ready_before_publish


@pytest.mark.parametrize("restart", ["always", "never"])
def test_a_service_that_never_starts(bench: Bench, restart: str) -> None:
    bench.green(CELL)
    broken = bench.with_command("sh -c 'echo no database to be found >&2; exit 7'", restart=restart)
    result = bench.run(CELL, broken)
    lacks = missing(result)
    assert lacks["ready_before_publish"] == "no consumer was seen ready before the first publish"
    (note,) = (note for note in result.judgement.notes if "ended before it subscribed" in note)
    assert "clerk.0 ended before it subscribed to orders (exit codes 7" in note
    assert "no database to be found" in note
    assert result.judgement.counts["attempted"] == 0
    assert result.phases_s["start"] < readiness.READY_WITHIN_S / 2


def test_a_service_that_never_subscribes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.green(CELL)
    monkeypatch.setattr(readiness, "READY_WITHIN_S", 1.0)
    result = bench.run(CELL, bench.with_command("sh -c 'echo thinking; exec sleep 600'"))
    lacks = missing(result)
    assert "ready_before_publish" in lacks
    (note,) = (note for note in result.judgement.notes if "to subscribe" in note)
    assert note.startswith("waited 1 s for clerk.0 to subscribe to orders; clerk.0 is connected to nothing")
    assert "thinking" in note


# window_hit, hold_first


def test_a_gate_that_nobody_armed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.green(CELL)
    monkeypatch.setattr(Breaking, "arm", lambda self: None)
    lacks = missing(bench.run(CELL))
    assert lacks["window_hit"] == "the gate was never armed"


class Late(Crash):
    """Strikes only when the service has given up waiting for the held answer, and has closed its connection."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        assert target.ticket.await_gone(20.0).ok
        with super().inject(target) as injection:
            yield injection


def test_a_hold_longer_than_the_time_out_of_the_service(bench: Bench) -> None:
    cell, impatient = "effect-response:crash", bench.with_env(TIMEOUT_S="2")
    bench.green(cell, impatient)
    with bench.registry.replaced(Late()):
        lacks = missing(bench.run(cell, impatient))
    assert lacks["hold_first"] == "the held connection was closed by the client before the fault struck"


class TooLate(Crash):
    """Strikes when the gate has reached its deadline, and has let the message go on by itself."""

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        gates = target.ticket._observer  # type: ignore[attr-defined]
        gates.wait("the gate's deadline", 20.0, lambda: gates.gates["aim"].kind == "gate_released")
        with super().inject(target) as injection:
            yield injection


def test_a_hold_longer_than_the_deadline_of_the_gate(bench: Bench) -> None:
    bench.green(CELL)
    with bench.registry.replaced(TooLate()):
        lacks = missing(bench.run_plan(replace(bench.plan(CELL), deadline_s=0.3)))
    assert lacks["hold_first"] == "the gate let go by itself (deadline) before the fault struck"


# drained, quiet_end


def test_a_drain_cut_short(bench: Bench) -> None:
    slow = bench.with_env(PAUSE_S="0.05")
    bench.green(CELL, slow)
    short = replace(slow, promise=replace(slow.promise, drain_within_s=0.3))
    result = bench.run(CELL, short)
    lacks = missing(result)
    assert "still held after 0.3 s" in lacks["drained"], said(result)


def test_an_end_that_waits_for_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.green("ack-settle:ack-lost")
    monkeypatch.setattr(Ending, "await_quiet", lambda self, survivors, rests: None)
    lacks = missing(bench.run("ack-settle:ack-lost"))
    assert set(lacks) == {"quiet_end"}


# observed_whole


def test_a_service_that_goes_past_its_link(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.green(CELL)
    monkeypatch.setattr(readiness, "READY_WITHIN_S", 3.0)
    direct = str(bench.broker.nodes["amqp"])
    result = bench.run(CELL, bench.with_env(BYPASS=direct))
    lacks = missing(result)
    assert lacks["observed_whole"].startswith(f"clerk.0 went past the taps to {direct}"), said(result)
    assert "ready_before_publish" in lacks
    assert any("clerk.0 is connected to " in note and direct in note for note in result.judgement.notes)


def test_a_service_that_goes_past_its_link_besides(bench: Bench) -> None:
    """It takes its messages as it should; what it does on the other connection nobody knows."""
    bench.green(CELL)
    direct = str(bench.broker.nodes["amqp"])
    lacks = missing(bench.run(CELL, bench.with_env(PAST=direct)))
    assert set(lacks) == {"observed_whole"}
    assert lacks["observed_whole"].startswith(f"clerk.0 went past the taps to {direct}")


def test_bytes_that_a_tap_cannot_read(bench: Bench) -> None:
    bench.green(CELL)
    lacks = missing(bench.run(CELL, bench.with_env(GIBBERISH="GET / HTTP/1.1\r\n\r\n")))
    assert set(lacks) == {"observed_whole"}
    assert lacks["observed_whole"].startswith("a tap gave up on clerk.0>broker.0: client:")


def test_a_message_without_a_key(bench: Bench) -> None:
    """One that the service itself put into its queue; told to be ignored, it changes nothing."""
    bench.green(CELL)
    nameless = bench.with_env(UNKEYED='{"order_id": "none of ours"}')
    lacks = missing(bench.run(CELL, nameless))
    assert set(lacks) == {"observed_whole"}
    assert lacks["observed_whole"].startswith("without a key: ")
    ignored = replace(
        nameless,
        source=replace(nameless.source, unkeyed="ignore"),
        promise=replace(nameless.promise, unkeyed_ignored=True),
    )
    result = bench.run(CELL, ignored)
    assert result.verdict is Verdict.UPHELD, said(result)


@pytest.mark.parametrize("origin", ["harness", "keeper", "relay"])
def test_a_torn_ledger(bench: Bench, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    bench.green(CELL)

    def torn(folder: Path) -> History:
        file = folder / f"{origin}.ledger.jsonl"
        with file.open("r+b") as ledger:
            ledger.truncate(file.stat().st_size - 5)
        return merge(folder)

    monkeypatch.setattr(scenario_run, "merge", torn)
    lacks = missing(bench.run(CELL))
    assert set(lacks) == {"observed_whole"}
    assert f"{origin}.ledger.jsonl: the last line is torn" in lacks["observed_whole"]


def test_a_ledger_with_a_hole(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines from the middle, where the aftermath of nobody in particular stood."""
    bench.green(CELL)

    def holed(folder: Path) -> History:
        file = folder / "relay.ledger.jsonl"
        lines = file.read_bytes().splitlines(keepends=True)
        connects = [number for number, line in enumerate(lines) if b'"kind":"connect"' in line]
        del lines[connects[0]]
        file.write_bytes(b"".join(lines))
        return merge(folder)

    monkeypatch.setattr(scenario_run, "merge", holed)
    lacks = missing(bench.run(CELL))
    assert set(lacks) == {"observed_whole"}
    assert "is followed by" in lacks["observed_whole"]


class KillsTheRelay(Crash):
    """Kills what records."""

    def __init__(self, relay: Instance) -> None:
        self.relay = relay

    @contextmanager
    def inject(self, target: Target) -> Iterator[Injection]:
        assert self.relay.signal(Signal.KILL).ok
        with super().inject(target) as injection:
            yield injection


def test_a_relay_that_dies(bench: Bench) -> None:
    """The session has broken for good, exit code 4; what comes next gets servers of its own."""
    bench.green(CELL)
    session = bench.session
    assert not session.result().broken
    with bench.registry.replaced(KillsTheRelay(bench.rig.relay.instance)):
        result = bench.run(CELL)
    lacks = missing(result)
    assert set(lacks) == {"observed_whole"}
    assert "relay" in lacks["observed_whole"]
    assert session.result().exit_code == 4
    assert [line for line in session.result().broken if line.startswith(f"clerk[{CELL}]: ")]
    after = bench.run(CELL)
    assert after.verdict is Verdict.UPHELD, said(after)
    assert session.result().exit_code == 4
