"""The fault: the gate has the message, the fault goes in, the gate lets go, the fault heals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import BROKER, HARNESS, LinkId
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Service
from chaosharness.model.gate import Action, Gate
from chaosharness.model.plan import Plan
from chaosharness.model.wait import wait_for
from chaosharness.model.window import Actor
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Fault, Held, Message, Outcome, Release, Target
from chaosharness.scenario.evidence import as_data
from chaosharness.scenario.observer import Observer
from chaosharness.scenario.producing import harness_sender
from chaosharness.scenario.tickets import GateTicket
from chaosharness.scenario.wiring import Wiring
from chaosharness.scenario.workload import Operations, Workload

GATE = "aim"
IDLE_S = 0.5
"""So long nothing may have happened before the broker is asked whether it is worth waiting for the gate."""
REPUBLISHED_WITHIN_S = 5.0
COMPLETED_WITHIN_S = 2.0
"""Well within the time that a gate may hold."""


@dataclass(slots=True)
class Breaking:
    """One plan's faults on one scenario's wiring."""

    plan: Plan
    wiring: Wiring
    service: Service
    """Whose links the gate stands on."""
    count: int
    """Effects that one key owes."""
    ledger: Ledger
    observer: Observer
    messages: Sequence[Message]
    held: Callable[[], Held]
    published_within_s: float
    notes: list[str]

    @property
    def target(self) -> str:
        """The aimed key."""
        return self.messages[self.plan.target].key

    def arm(self) -> None:
        """Before anything that could meet the gate runs."""
        plan = self.plan
        self.wiring.rig.relay.arm(
            Gate(
                id=GATE,
                point=plan.point,
                action=plan.action,
                key=self.target,
                service=self.service.name,
                server=plan.server,
                deadline_s=plan.deadline_s,
                unsettled=plan.unsettled,
                after_effects=self.count if plan.after_effects else 0,
            )
        )

    def await_gate(self, workload: Workload) -> Event | None:
        """The gate's hit; None where the flow has no such window, or the message never came to it."""
        observer = self.observer

        def met() -> tuple[Event | None, str] | None:
            event = observer.gates.get(GATE)
            if event:
                return event, ""
            if observer.quiet_s() > IDLE_S and self._idle(workload):
                return None, "everything has been processed and the gate met nothing"
            if observer.quiet_s() > self.plan.hold_within_s:
                return None, f"nothing has happened for {self.plan.hold_within_s:g} s and the gate met nothing"
            return None

        within_s = self.published_within_s + len(self.messages) * 1.0
        try:
            event, why_not = observer.wait(f"{self.target} at the gate {self.plan.point.value}", within_s, met)
        except TimedOut as never:
            event, why_not = None, str(never)
        if event is None:
            self.notes.append(why_not)
            self.ledger.append(Kind.NOTE, data={"text": why_not})
        elif event.kind is Kind.GATE_SKIPPED:
            return None
        return event

    def _idle(self, workload: Workload) -> bool:
        """Nothing is under way any more: to wait longer for the gate is in vain."""
        return workload.first_done.is_set() and not self.observer.missing(self.count) and self.held().empty

    def inject(self, fired: Event, workload: Workload) -> None:
        """Injects with the message in hand, lets go as the fault says, heals."""
        ticket = GateTicket(fired, self.observer, self.wiring.rig.relay.release)
        if self.plan.actor is Actor.CONSUMER and self.plan.action is Action.HOLD:
            self._await_completed()
        for step in self.plan.steps:
            fault = self.wiring.rig.registry.fault(step.fault)
            target = self._target(ticket)
            self.ledger.append(Kind.STEP, data={"what": f"inject {fault.id}", "fault": fault.id})
            with fault.inject(target) as injection:
                self._record(Kind.FAULT_INJECTED, fault, injection.evidence, target.link.id)
                self._let_go(ticket, fault, injection.evidence)
                if step.until == "published":
                    self._await_published(workload)
            healed = injection.healed or Evidence(False, "the fault says nothing of its heal")
            self._record(Kind.FAULT_HEALED, fault, healed, target.link.id)

    def _record(self, kind: Kind, fault: Fault, evidence: Evidence, link: str) -> None:
        data = {"fault": fault.id, "ok": evidence.ok, "evidence": as_data(evidence)}
        self.ledger.append(kind, [self.target], link=link, data=data)

    def _await_completed(self) -> None:
        """The broker surely has what its producer knows it has: what is not stored yet it may hand over, and lose."""
        with contextlib.suppress(TimedOut):
            self.observer.wait(
                f"the publish of {self.target} to complete",
                COMPLETED_WITHIN_S,
                lambda: self.target in self.observer.completed or self.observer.gates[GATE].kind is not Kind.GATE_HELD,
            )

    def _let_go(self, ticket: GateTicket, fault: Fault, evidence: Evidence) -> None:
        """A message whose fault has no evidence goes on: the scenario is unproven, and should end soon."""
        forward = fault.release is Release.FORWARD or not evidence.ok
        if self.observer.gates[GATE].kind is Kind.GATE_HELD:
            self.wiring.rig.relay.release(ticket.hold.gate, forward)

    def _await_published(self, workload: Workload) -> None:
        wait_for(
            "the first part of the workload to be published",
            self.published_within_s,
            workload.first_done.is_set,
        )

    def _target(self, ticket: GateTicket) -> Target:
        held = LinkId.parse(ticket.hold.link)
        wiring, running = self.wiring, self.wiring.running
        return Target(
            ticket=ticket,
            instance=wiring.instances.get((held.service, held.replica)),
            restarts=self.service.restart == "always",
            link=wiring.links[LinkId(held.service, held.replica, BROKER)],
            server=running.instance,
            server_ready=lambda: running.server.wait_ready(running.instance),
            republish=self._republish,
        )

    def _republish(self) -> Evidence:
        operations = Operations(self.ledger, HARNESS, first=len(self.messages) + 1)
        sender = harness_sender(self.wiring)
        try:
            operations.invoke(self.target, "republish")
            sender.send(self.messages[self.plan.target])
            completions = wait_for(
                "the confirm of the second publish", REPUBLISHED_WITHIN_S, lambda: sender.completions(0.05)
            )
            operations.complete(completions[0])
        finally:
            sender.close()
        outcome = completions[0].outcome
        return Evidence(outcome is Outcome.OK, f"the second publish of {self.target} completed {outcome.value}")
