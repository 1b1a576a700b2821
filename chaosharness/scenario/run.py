"""Runs one plan: start, publish, hold, break, heal, drain, stop, judge. The one entry: `run_scenario`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from chaosharness.checkers.sets import POISON
from chaosharness.checkers.verdict import judge, observed
from chaosharness.keeper.linelog import is_full
from chaosharness.ledger.reader import merge
from chaosharness.ledger.writer import Ledger
from chaosharness.model.address import HARNESS
from chaosharness.model.errors import HarnessBroke, TimedOut
from chaosharness.model.event import Event, Kind
from chaosharness.model.flow import Flow
from chaosharness.model.history import Aimed, History
from chaosharness.model.plan import Plan
from chaosharness.model.verdict import Judgement, Result, Verdict
from chaosharness.model.wait import wait_for
from chaosharness.model.window import WINDOWS, Actor
from chaosharness.ports.plugin import Held, Message
from chaosharness.scenario.breaking import GATE, Breaking
from chaosharness.scenario.ending import Ending
from chaosharness.scenario.guard import look_for_bypasses
from chaosharness.scenario.messages import make_messages
from chaosharness.scenario.nudging import NUDGES, nudge
from chaosharness.scenario.observer import Observer
from chaosharness.scenario.planning import make_nonce
from chaosharness.scenario.producing import ProducerUnderTest, harness_sender
from chaosharness.scenario.readiness import await_ready
from chaosharness.scenario.rig import Rig
from chaosharness.scenario.wiring import Wiring, with_reader
from chaosharness.scenario.workload import Operations, Workload

WORKLOAD_WITHIN_S = 60.0
"""Beyond what its own rate makes of it, a workload may take so long."""
TIMELINES_AT_MOST = 20
PROVEN = (Verdict.UPHELD, Verdict.VIOLATED)


def run_scenario(rig: Rig, flow: Flow, plan: Plan, *, others: Sequence[Flow] = (), reproduce: str = "") -> Result:
    """Runs the plan once. `others`: further flows over the same deployment.

    Raises BadInput for what only running shows to be wrong (a command that is not there, a refused declaration) and
    HarnessBroke where a part of the harness failed; either way nothing is left running.
    """
    began = time.monotonic()
    scenario = Scenario(rig, flow, plan, others)
    history = scenario.run()
    with scenario.phase("check"):
        judgement = judge(history, flow.promise, scenario.aimed())
    judgement = replace(judgement, notes=(*judgement.notes, *scenario.notes))
    return Result(
        id=str(plan.id),
        flow=flow.name,
        window=plan.window,
        fault=plan.id.fault,
        declared=flow.promise.semantic.value if flow.promise.semantic else None,
        judgement=judgement,
        observed=observed([judgement.refutes]) if judgement.verdict in PROVEN else None,
        reproduce=reproduce,
        duration_s=round(time.monotonic() - began, 3),
        folder=str(scenario.folder.relative_to(rig.folder)),
        timelines=_timelines(history, judgement, scenario.breaking.target),
        seed=plan.seed,
        target=scenario.breaking.target,
        because=flow.promise.because,
        phases_s={name: round(seconds, 3) for name, seconds in scenario.phases_s.items()},
    )


class Scenario:
    """The state of one run; `run` is called once."""

    def __init__(self, rig: Rig, flow: Flow, plan: Plan, others: Sequence[Flow]) -> None:
        self.rig = rig
        self.plan = plan
        self.nonce = make_nonce(plan, rig.nonces)
        self.broker = rig.registry.broker(flow.source.broker)
        self.flow = with_reader(flow, self.broker)
        assert self.flow.consumer
        self.consumer = self.flow.consumer
        self.notes: list[str] = []
        self.phases_s: dict[str, float] = {}
        self.folder = _fresh_folder(rig.folder / "scenarios", plan.id.slug)
        self.ledger = Ledger(self.folder, "harness")
        self.observer = Observer(self.folder)
        self.wiring = Wiring(rig, self.flow, others, self.broker, self.nonce)
        self.producer: ProducerUnderTest | None = None
        self._prepared = ExitStack()
        self.breaking = self._breaking()
        self.workload = self._workload()

    def run(self) -> History:
        """The history of the scenario, merged from all ledgers."""
        try:
            with self.phase("start"):
                ready = self._start()
            if ready:
                self._publish_and_break()
                self._drain()
            with self.phase("stop"):
                self._stop()
        finally:
            self._abandon()
        return merge(self.folder)

    def aimed(self) -> Aimed:
        """What the checkers need to know of the plan."""
        plan = self.plan
        return Aimed(
            key=self.breaking.target,
            window=plan.window,
            faults=plan.id.faults,
            gate=GATE,
            producer_window=plan.actor is Actor.PRODUCER,
            sut_producer=self.flow.producer is not None,
            redelivers=plan.redelivers,
            can_duplicate=WINDOWS[plan.window].can_duplicate,
            stopped_by=tuple(f"{service}.{replica}" for service, replica in self.wiring.instances),
        )

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Times a part of the run and tells what is going on."""
        self.rig.phase(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.phases_s[name] = self.phases_s.get(name, 0.0) + time.monotonic() - began

    def _breaking(self) -> Breaking:
        producer = self.flow.producer
        at_producer = self.plan.actor is Actor.PRODUCER and producer
        return Breaking(
            plan=self.plan,
            wiring=self.wiring,
            service=producer.service if producer and at_producer else self.consumer,
            count=self.flow.promise.count,
            ledger=self.ledger,
            observer=self.observer,
            messages=self._messages(),
            held=self._held,
            published_within_s=self._workload_within_s(),
            folder=self.folder,
            notes=self.notes,
        )

    def _messages(self) -> list[Message]:
        """Those of the workload; a fault that spoils the aimed one does it before anything is sent."""
        messages = make_messages(self.flow.workload, self.nonce, self.plan.messages, self.flow.promise.ordered_by)
        for step in self.plan.steps:
            spoil = getattr(self.rig.registry.fault(step.fault), "spoil", None)
            if spoil:
                messages[self.plan.target] = spoil(messages[self.plan.target])
        return messages

    def _workload(self) -> Workload:
        work, producer, messages = self.flow.workload, self.flow.producer, self.breaking.messages
        first = len(messages) - self.plan.kept_back
        return Workload(
            lambda: self.producer.drives if self.producer else harness_sender(self.wiring),
            Operations(self.ledger, producer.service.name if producer else HARNESS),
            messages[:first],
            messages[first:],
            in_flight=work.in_flight,
            rate_per_s=work.rate_per_s,
            complete_within_s=self.flow.promise.bound_s,
            own=producer is None,
        )

    def _start(self) -> bool:
        """Everything up and subscribed. False, with a note, where a system under test never gets ready."""
        plan = self.plan
        what = f"plan {plan.id}: {plan.messages} messages, aimed at {self.breaking.target}, seed {plan.seed}"
        self.ledger.append(Kind.STEP, data={"what": what})
        self.wiring.build(self.folder)
        self._prepare()
        self.breaking.arm()
        for replica in range(self.consumer.replicas):
            self.wiring.launch(self.consumer, replica, self.folder)
        if self.flow.producer:
            self.producer = ProducerUnderTest.launch(self.flow, self.wiring, self.folder)
        if not self.producer:
            self.workload.start()
        problem = await_ready(self.observer, self.wiring, self.consumer, self.ledger)
        if problem is None and self.producer:
            problem = self.producer.await_ready(self.observer)
            self.workload.start()
        settle = getattr(self.broker, "settle", None)
        if settle:
            settle(self.wiring.running.instance, self.wiring.namespace)
        if problem:  # perhaps because it went past its link
            look_for_bypasses(self.wiring, self.ledger)
            self.notes.append(problem)
            self.ledger.append(Kind.NOTE, data={"text": problem})
        return problem is None

    def _prepare(self) -> None:
        """What a fault needs around the whole scenario: before any system under test has a connection."""
        for step in self.plan.steps:
            prepare = getattr(self.rig.registry.fault(step.fault), "prepare", None)
            if prepare:
                done = self._prepared.enter_context(prepare(self.broker, self.wiring.running.instance))
                self.breaking.prepared[step.fault] = done
                self.ledger.append(Kind.STEP, data={"what": done.what})

    def _publish_and_break(self) -> None:
        self.ledger.append(Kind.KEPT_BACK, data={"count": self.plan.kept_back})
        with self.phase("publish"):
            self.workload.begin()
            look_for_bypasses(self.wiring, self.ledger)
            fired = self.breaking.await_gate(self.workload)
        with self.phase("fault"):
            if fired:
                self.breaking.inject(fired, self.workload)
            else:
                self.rig.relay.disarm(GATE)
        self.workload.go_on()

    def _drain(self) -> None:
        workload = self.workload
        ending = self._ending()
        with self.phase("drain"):
            try:
                wait_for("the workload's last operation", self._workload_within_s(), workload.done.is_set)
            except TimedOut as slow:
                self.notes.append(str(slow))
            if workload.broke:
                raise workload.broke
            rests = ending.drain(workload.done.is_set)
        with self.phase("quiet"):
            faults = [self.rig.registry.fault(step.fault) for step in self.plan.steps]
            ending.await_quiet(any(fault.leaves_survivors for fault in faults), rests)
        look_for_bypasses(self.wiring, self.ledger)

    def _stop(self) -> None:
        """Systems under test first, then the sinks, then a last look at what the broker still yields."""
        relay = self.rig.relay
        self._stop_services()
        relay.close_sinks()
        self._ending().record_yields()
        relay.end()
        self.rig.launcher.record_to(None)
        if relay.failures:
            raise HarnessBroke("; ".join(relay.failures))
        self.ledger.end()

    def _ending(self) -> Ending:
        return Ending(
            wiring=self.wiring,
            consumer=self.consumer,
            promise=self.flow.promise,
            ledger=self.ledger,
            observer=self.observer,
            held=self._held,
            nudge=self._nudge,
            hopeless=frozenset({self.breaking.target} if POISON & set(self.plan.id.faults) else ()),
            folder=self.folder,
            notes=self.notes,
        )

    def _nudge(self) -> None:
        """Through whoever publishes in this flow. A producer that has not answered yet is not asked for more."""
        if not self.workload.done.is_set():
            return
        count, flow = len(self.breaking.messages), self.flow
        more = make_messages(flow.workload, self.nonce, count + NUDGES, flow.promise.ordered_by)[count:]
        name = flow.producer.service.name if flow.producer else HARNESS
        try:
            sender = self.producer.drives if self.producer else harness_sender(self.wiring)
        except HarnessBroke as refused:  # the broker may be what does not come back
            self.notes.append(f"no messages beyond the workload could be published: {refused}")
            return
        try:
            nudge(sender, Operations(self.ledger, name, first=2 * count + 1), more, flow.promise.bound_s)
        finally:
            if not self.producer:
                sender.close()

    def _stop_services(self) -> None:
        self.workload.stop()
        if self.producer:
            self.producer.stop()
            self.notes += self.producer.complaints()
        instances = list(self.wiring.instances.values())
        with ThreadPoolExecutor(max_workers=len(instances) or 1) as pool:  # each may take all of its grace
            stops = list(pool.map(lambda instance: instance.stop(self.consumer.stop_grace_s), instances))
        for instance, stopped in zip(instances, stops, strict=True):
            if stopped.facts.get("forced"):
                grace = f"{self.consumer.stop_grace_s:g} s"
                self.notes.append(f"{instance.name} did not end within {grace} of SIGTERM, and was killed")
            if is_full(instance.log):
                self.notes.append(f"{instance.name} wrote more than its log may hold: {instance.log} is cut")
        self.ledger.append(Kind.STOPPED, data={"instances": [instance.name for instance in instances]})

    def _abandon(self) -> None:
        """Whatever way the run ended, nothing of it is left."""
        self.rig.nonces.append(self.nonce)
        with ExitStack() as ends:  # in reverse order, each whatever became of the others
            ends.callback(self.observer.close)
            ends.callback(self.ledger.abandon)
            ends.callback(self.wiring.take_down)
            ends.callback(self._prepared.close)
            ends.callback(self.rig.launcher.record_to, None)
            ends.callback(self.rig.relay.end)
            if self.producer:
                ends.callback(self.producer.close)
            for instance in self.wiring.instances.values():
                ends.callback(instance.stop, 0)
            ends.callback(self.workload.stop)

    def _held(self) -> Held:
        wiring = self.wiring
        places = sorted(self.observer.places)
        return self.broker.held(wiring.running.instance, wiring.namespace, self.flow.source, places)

    def _workload_within_s(self) -> float:
        work = self.flow.workload
        planned_s = work.messages / work.rate_per_s if work.rate_per_s else 0.0
        return WORKLOAD_WITHIN_S + planned_s + self.flow.promise.bound_s


def _fresh_folder(parent: Path, slug: str) -> Path:
    """`parent/slug`, or with a number where a scenario is run again in the same run."""
    parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, 100_000):
        folder = parent / (slug if number == 1 else f"{slug}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise HarnessBroke(f"{parent}: more than 100,000 folders of {slug}")


def _timelines(history: History, judgement: Judgement, target: str) -> dict[str, tuple[Event, ...]]:
    """Per key in a finding, and for the aimed one: all that the ledger has of it, with the faults and processes."""
    keys = list(dict.fromkeys([target, *(key for finding in judgement.findings for key in finding.keys)]))
    around = (Kind.FAULT_INJECTED, Kind.FAULT_HEALED, Kind.SIGNALLED, Kind.STARTED, Kind.EXITED)
    return {
        key: tuple(event for event in history if key in event.keys or event.kind in around)
        for key in keys[:TIMELINES_AT_MOST]
    }
