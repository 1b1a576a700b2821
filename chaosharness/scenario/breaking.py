"""The fault: the gate has the message, the fault goes in, the gate lets go, the fault heals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import BROKER, HARNESS, LinkId
from chaosharness.model.errors import TimedOut
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Service
from chaosharness.model.gate import Action, Gate
from chaosharness.model.plan import Plan, Step
from chaosharness.model.wait import wait_for
from chaosharness.model.window import Actor
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Fault, Held, Message, Outcome, Release, Target
from chaosharness.scenario.evidence import as_data
from chaosharness.scenario.observer import Observer, Recorded
from chaosharness.scenario.producing import harness_sender
from chaosharness.scenario.readiness import READY_WITHIN_S
from chaosharness.scenario.tickets import GateTicket
from chaosharness.scenario.wiring import Wiring
from chaosharness.scenario.workload import Operations, Workload

GATE = "aim"
IDLE_S = 0.5
"""So long nothing may have happened before the broker is asked whether it is worth waiting for the gate."""
REPUBLISHED_WITHIN_S = 5.0
STALLED_S = 3.0
"""A producer from which nothing has come for so long publishes nothing before the fault is healed."""
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
    folder: Path
    notes: list[str]
    prepared: dict[str, Evidence] = field(default_factory=dict)
    """Fault → what its `prepare` came to."""

    @property
    def target(self) -> str:
        """The aimed key."""
        return self.messages[self.plan.target].key

    def arm(self) -> None:
        """Before anything that could meet the gate runs."""
        self._arm(GATE)

    def _arm(self, gate: str) -> None:
        plan = self.plan
        self.wiring.rig.relay.arm(
            Gate(
                id=gate,
                point=plan.point,
                action=plan.action,
                key=self.target,
                service=self.service.name,
                server=plan.server,
                deadline_s=plan.deadline_s,
                unsettled=plan.unsettled,
                after_effects=self.wiring.flow.workload.owed(plan.target, self.count) if plan.after_effects else 0,
                once_applied=plan.once_applied,
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
        """Injects with the message in hand, one fault after the other, lets go as they say, heals in reverse."""
        if self.plan.actor is Actor.CONSUMER and self.plan.action is Action.HOLD:
            self._await_completed()
        self._break(self.plan.steps, self._ticket(fired), [], workload)

    def _break(
        self, steps: Sequence[Step], ticket: GateTicket, done: list[tuple[Release, Evidence]], workload: Workload
    ) -> None:
        """The first of `steps` around all that follow; `done`: those that are in."""
        if not steps:
            self._let_go(ticket, done)
            return
        fault = self.wiring.rig.registry.fault(steps[0].fault)
        target = self._target(ticket, self.prepared.get(fault.id))
        self.ledger.append(Kind.STEP, data={"what": f"inject {fault.id}", "fault": fault.id})
        with fault.inject(target) as injection:
            if injection.declined:
                self.ledger.append(
                    Kind.FAULT_DECLINED, [self.target], data={"fault": fault.id, "why": injection.declined}
                )
                self._let_go(ticket, done)
                return
            self._record(Kind.FAULT_INJECTED, fault, injection.evidence, target)
            release = injection.release or fault.release
            self._break(steps[1:], ticket, [*done, (release, injection.evidence)], workload)
            if steps[0].until == "published":
                self._await_published(workload)
        healed = injection.healed or Evidence(False, "the fault says nothing of its heal")
        self._record(Kind.FAULT_HEALED, fault, healed, target)

    def _record(self, kind: Kind, fault: Fault, evidence: Evidence, target: Target) -> None:
        """With the link that the evidence names, else the one to the broker."""
        data = {"fault": fault.id, "ok": evidence.ok, "evidence": as_data(evidence)}
        link = str(evidence.facts.get("link") or target.link.id)
        self.ledger.append(kind, [self.target], link=link, data=data)

    def _await_completed(self) -> None:
        """The broker surely has what its producer knows it has: what is not stored yet it may hand over, and lose."""
        with contextlib.suppress(TimedOut):
            self.observer.wait(
                f"the publish of {self.target} to complete",
                COMPLETED_WITHIN_S,
                lambda: self.target in self.observer.completed or self.observer.gates[GATE].kind is not Kind.GATE_HELD,
            )

    def _let_go(self, ticket: GateTicket, done: Sequence[tuple[Release, Evidence]]) -> None:
        """A message whose fault has no evidence goes on: the scenario is unproven, and should end soon."""
        wanted = {release for release, _ in done}
        forward = wanted <= {Release.FORWARD} or not all(evidence.ok for _, evidence in done)
        if self.observer.gates[ticket.hold.gate].kind is Kind.GATE_HELD:
            self.wiring.rig.relay.release(ticket.hold.gate, forward)
        if Release.SEVER in wanted and not forward:
            self._sever(LinkId.parse(ticket.hold.link))

    def _sever(self, held: LinkId) -> Evidence:
        return self._close(LinkId(held.service, held.replica, BROKER))

    def _close(self, link: LinkId) -> Evidence:
        count = self.wiring.rig.relay.sever(link)
        return Evidence(count > 0, f"{count} connections of {link} closed at the tap", {"severed": count})

    def _await_published(self, workload: Workload) -> None:
        """Or until a producer is known not to get on, which may be what a fault is about."""
        observer, stalls = self.observer, self.plan.actor is Actor.PRODUCER or len(self.plan.steps) > 1
        observer.wait(
            "the first part of the workload to be published",
            self.published_within_s,
            lambda: workload.first_done.is_set() or (stalls and observer.quiet_s() > STALLED_S) or None,
        )

    def _ticket(self, fired: Event) -> GateTicket:
        return GateTicket(fired, self.observer, self.wiring.rig.relay.release)

    def _target(self, ticket: GateTicket, prepared: Evidence | None) -> Target:
        held = LinkId.parse(ticket.hold.link)
        wiring, running, relay = self.wiring, self.wiring.running, self.wiring.rig.relay
        to_broker = LinkId(held.service, held.replica, BROKER)
        siblings = [(name, replica) for name, replica in wiring.instances if name == held.service]
        return Target(
            key=self.target,
            promise=wiring.flow.promise,
            ticket=ticket,
            instance=wiring.instances.get((held.service, held.replica)),
            others=[wiring.instances[name, replica] for name, replica in siblings if replica != held.replica],
            restarts=self.service.restart == "always",
            stop_grace_s=self.service.stop_grace_s,
            link=wiring.links[to_broker],
            held_link=wiring.links[held],
            store=wiring.store_target(held),
            broker=wiring.broker,
            server=running.instance,
            server_ready=lambda: running.server.wait_ready(running.instance),
            witness=Recorded(self.observer),
            sever=lambda: self._sever(held),
            sever_held=lambda: self._close(held),
            join=self._join,
            again=self._again,
            control_sink=lambda control: relay.control_sink(wiring.sink_of(held), control),
            republish=self._republish,
            toxiproxy_log=wiring.rig.toxiproxy_log,
            prepared=prepared,
        )

    def _join(self) -> Evidence:
        replica = max(number for name, number in self.wiring.instances if name == self.service.name) + 1
        instance = self.wiring.launch(self.service, replica, self.folder)
        link = str(LinkId(self.service.name, replica, BROKER))
        try:
            what = f"{instance.name} to subscribe to {self.wiring.flow.source.name}"
            self.observer.wait(what, READY_WITHIN_S, lambda: self.observer.subscribed[link] or None)
        except TimedOut as never:
            return Evidence(False, str(never), {"instance": instance.name})
        self.ledger.append(Kind.READY, link=link)
        return Evidence(True, f"{instance.name} has joined and subscribed", {"instance": instance.name})

    def _again(self, within_s: float) -> GateTicket | None:
        gate = f"{GATE}-{sum(name.startswith(GATE) for name in self.observer.gates) + 1}"
        self._arm(gate)
        observer, before = self.observer, len(self.observer.events)

        def met() -> tuple[Event | None] | None:
            """The gate's event; (None,) where the broker has nothing left that could still come to it."""
            for event in observer.events[before:]:
                if event.kind in (Kind.GATE_HELD, Kind.GATE_SKIPPED) and event.data.get("gate") == gate:
                    return (event,)
            return (None,) if observer.quiet_s() > IDLE_S and self.held().empty else None

        fired = None
        with contextlib.suppress(TimedOut):
            (fired,) = observer.wait(f"{self.target} at the gate once more", within_s, met)
        if fired is None or fired.kind is Kind.GATE_SKIPPED:
            self.wiring.rig.relay.disarm(gate)
            return None
        return self._ticket(fired)

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
