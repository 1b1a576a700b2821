"""A literal run for the report's tests: one of everything, as a payments team would meet it.

`python suites/unit/report_example.py FOLDER` writes it there, to be looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaosharness.model.event import Event, Kind
from chaosharness.model.verdict import (
    Advice,
    Code,
    Finding,
    FindingKind,
    Judgement,
    Missing,
    Result,
    RunResult,
    Verdict,
)

KEY = "k7f3q-000117"
BROKER = "payment.0>broker.0"
EFFECT = "payment.0>effect.effect.0"
START_NS = 81_000_000_000_000


class Ledger:
    """Writes events by hand: `at` in milliseconds."""

    def __init__(self) -> None:
        self.count: dict[str, int] = {}

    def __call__(
        self,
        at: float,
        kind: Kind,
        keys: tuple[str, ...] = (KEY,),
        link: str | None = None,
        conn: int | None = None,
        origin: str = "relay",
        **data: Any,
    ) -> Event:
        self.count[origin] = self.count.get(origin, 0) + 1
        return Event(self.count[origin], START_NS + round(at * 1e6), origin, kind, keys, link, conn, data)


def crash_timeline() -> tuple[Event, ...]:
    """A double charge: the effect is applied, the ack held, the consumer killed, the message handed over again."""
    e = Ledger()
    return (
        e(-0.3, Kind.INVOKE, origin="harness", op=117, producer="harness", by="workload"),
        e(0, Kind.PUBLISH, link="harness.0>broker.0", conn=2, confirms=True, persistent=True, mandatory=True),
        e(0.9, Kind.CONFIRM, (*(f"k7f3q-{n:06d}" for n in range(114, 117)), KEY), "harness.0>broker.0", 2, ok=True),
        e(1.2, Kind.COMPLETE, origin="harness", op=117, outcome="ok", told=True),
        e(1.4, Kind.DELIVER, link=BROKER, conn=3, redelivered=False, settled=False, how="push"),
        e(
            6.0,
            Kind.REQUEST,
            link=EFFECT,
            conn=4,
            sink="http",
            method="POST",
            target="/v1/charges",
            idempotency_key="9f1c52e0-4a",
        ),
        e(6.2, Kind.EFFECT, link=EFFECT, conn=4, sink="http", effect="effect-118", idempotency_key="9f1c52e0-4a"),
        e(6.5, Kind.RESPONSE, link=EFFECT, conn=4, sink="http", status=200),
        e(7.1, Kind.GATE_HELD, link=BROKER, conn=3, gate="g1", point="settle", bytes=21),
        e(
            9.0,
            Kind.SIGNALLED,
            (),
            origin="keeper",
            instance="payment.0",
            signal="kill",
            scope="tree",
            pids=[4711, 4715],
        ),
        e(
            10.8,
            Kind.EXITED,
            (),
            origin="keeper",
            instance="payment.0",
            pid=4711,
            incarnation=1,
            code=-9,
            asked=True,
            gone=True,
        ),
        e(11.3, Kind.DISCONNECT, (), BROKER, 3, by="client"),
        e(
            11.9,
            Kind.FAULT_INJECTED,
            (KEY,),
            BROKER,
            origin="harness",
            fault="crash",
            ok=True,
            evidence={"ok": True, "what": "SIGKILL to 2 processes of payment.0; all gone after 2 ms"},
        ),
        e(12.1, Kind.GATE_RELEASED, link=BROKER, conn=3, gate="g1", forwarded=False, why="connection gone", bytes=21),
        e(13.0, Kind.STARTED, (), origin="keeper", instance="payment.0", pid=4733, incarnation=2),
        e(
            13.2,
            Kind.FAULT_HEALED,
            (),
            origin="harness",
            fault="crash",
            ok=True,
            evidence={"ok": True, "what": "payment.0 runs again, incarnation 2"},
        ),
        e(842.7, Kind.DELIVER, link=BROKER, conn=5, redelivered=True, settled=False, how="push"),
        e(
            848.3,
            Kind.REQUEST,
            link=EFFECT,
            conn=6,
            sink="http",
            method="POST",
            target="/v1/charges",
            idempotency_key="03b7d1aa-e2",
        ),
        e(848.5, Kind.EFFECT, link=EFFECT, conn=6, sink="http", effect="effect-203", idempotency_key="03b7d1aa-e2"),
        e(848.8, Kind.RESPONSE, link=EFFECT, conn=6, sink="http", status=200),
        e(849.9, Kind.SETTLE, link=BROKER, conn=5, how="ack"),
    )


PAYMENT = {"flow": "payment", "declared": "effectively_once", "because": "a double charge costs real money"}
SHIPPING = {
    "flow": "shipping",
    "declared": "at_least_once",
    "because": "a parcel may be announced twice, never not at all",
}
COUNTS = {
    "attempted": 200,
    "owed": 200,
    "effects": 200,
    "delivered": 200,
    "redelivered": 10,
    "duplicated": 0,
    "lost": 0,
}
PHASES = {"start": 0.31, "publish": 0.12, "fault": 0.04, "drain": 1.21, "stop": 0.18, "check": 0.01}


def scenario(of: Mapping[str, str], window: str, fault: str, judgement: Judgement, **more: Any) -> Result:
    """One result with everything filled in that a real one has."""
    id = f"{of['flow']}[{window}:{fault}]"
    ran = judgement.verdict != Verdict.NOT_APPLICABLE
    facts: dict[str, Any] = {
        "observed": "effectively_once" if judgement.verdict == Verdict.UPHELD else None,
        "reproduce": f"chaosharness run flows.toml --only '{id}' --seed 20261103" if ran else "",
        "duration_s": 1.87 if ran else 0.0,
        "folder": f"scenarios/{of['flow']}-{window}-{fault}" if ran else None,
        "seed": 20261103,
        "target": KEY if ran else None,
        "phases_s": PHASES if ran else {},
    }
    return Result(
        id=id,
        flow=of["flow"],
        window=window,
        fault=fault,
        declared=of["declared"],
        because=of["because"],
        judgement=judgement,
        **{**facts, **more},
    )


def upheld(**more: Any) -> Judgement:
    return Judgement(Verdict.UPHELD, **{"counts": COUNTS, **more})


def not_applicable(reason: str) -> Judgement:
    return Judgement(Verdict.NOT_APPLICABLE, reason=reason)


AUTO_ACK = Advice("unlimited_prefetch", "the consumer sets no prefetch: one crash puts every waiting message at risk")
NO_PRODUCER = "with the harness as producer this would test the harness; declare [flow.payment.producer] to test yours"


def violated_crash() -> Result:
    """payment[effect-ack:crash]: one message charged twice."""
    timeline = crash_timeline()
    evidence = tuple(e for e in timeline if e.kind in (Kind.EFFECT, Kind.GATE_HELD, Kind.FAULT_INJECTED, Kind.DELIVER))
    finding = Finding(
        FindingKind.DUPLICATED,
        (KEY,),
        "2 effects, 1 intended: applied again after the redelivery, under another idempotency key",
        evidence,
    )
    judgement = Judgement(
        Verdict.VIOLATED,
        (finding,),
        counts={**COUNTS, "effects": 201, "duplicated": 1},
        refutes=frozenset({"effectively_once", "at_most_once"}),
        advice=(AUTO_ACK,),
    )
    return scenario(PAYMENT, "effect-ack", "crash", judgement, observed="at_least_once", timelines={KEY: timeline})


def unproven_partition() -> Result:
    """payment[effect-ack:partition]: nothing proven."""
    missing = (
        Missing(Code.FAULT_EVIDENCE, "the toxic read back is on upstream alone; both directions were asked for"),
        Missing(Code.DRAINED, "3 messages were still unacknowledged after 30 s; raise drain_within_s"),
    )
    stuck = Finding(
        FindingKind.STUCK, ("k7f3q-000117", "k7f3q-000118", "k7f3q-000119"), "unacked at the broker", (), False
    )
    return scenario(PAYMENT, "effect-ack", "partition", Judgement(Verdict.UNPROVEN, (stuck,), missing, counts=COUNTS))


def waived_kill() -> Result:
    """shipping[stored:broker-kill]: a finding that a waiver covers."""
    e = Ledger()
    evidence = (
        e(0, Kind.PUBLISH, link="shop.0>broker.0", conn=1, confirms=False, persistent=False),
        e(
            3,
            Kind.FAULT_INJECTED,
            (),
            origin="harness",
            fault="broker-kill",
            ok=True,
            evidence={"what": "SIGKILL; port closed"},
        ),
    )
    lost = Finding(FindingKind.LOST, (KEY,), "lost by the broker", evidence, True, "transient by choice until 2027")
    judgement = upheld(
        findings=(lost,), notes=("process crash only",), refutes=frozenset({"at_least_once", "effectively_once"})
    )
    return scenario(SHIPPING, "stored", "broker-kill", judgement, observed="at_most_once", timelines={KEY: evidence})


def example() -> RunResult:
    """Two flows; violated, unproven, waived, loss measured, not applicable, upheld."""
    return RunResult(
        seed=20261103,
        results=(
            scenario(PAYMENT, "publish-store", "publish-lost", not_applicable(NO_PRODUCER)),
            scenario(PAYMENT, "store-confirm", "confirm-lost", not_applicable(NO_PRODUCER)),
            scenario(PAYMENT, "store-confirm", "republish", upheld()),
            scenario(PAYMENT, "stored", "broker-kill", upheld(notes=("process crash only",))),
            scenario(PAYMENT, "store-deliver", "cut", upheld()),
            scenario(PAYMENT, "deliver-effect", "crash", upheld(advice=(AUTO_ACK,))),
            scenario(PAYMENT, "deliver-effect", "partition", upheld(advice=(AUTO_ACK,))),
            scenario(PAYMENT, "effect-response", "crash", upheld()),
            violated_crash(),
            unproven_partition(),
            scenario(PAYMENT, "ack-settle", "ack-lost", upheld()),
            scenario(SHIPPING, "publish-store", "publish-lost", upheld()),
            scenario(SHIPPING, "store-confirm", "confirm-lost", upheld()),
            waived_kill(),
            scenario(SHIPPING, "store-deliver", "cut", upheld(notes=("loss measured: 1 of 200",))),
            scenario(SHIPPING, "deliver-effect", "crash", upheld()),
            scenario(
                SHIPPING,
                "effect-ack",
                "crash",
                not_applicable("the consumer acknowledges before the effect, so there is no ack left to lose"),
            ),
        ),
        versions={"chaosharness": "0.1.0", "python": "3.11.7", "rabbitmq": "3.10.8", "toxiproxy": "2.12.0"},
        environment={"backend": "local (--backend says so)", "system": "Linux 6.1", "cpus": 2},
        started="2026-11-03T09:14:07Z",
        duration_s=31.4,
        unused_waivers=('payment: "dedup:wipe" = { duplicated = 1 }, because one more e-mail is accepted',),
    )


if __name__ == "__main__":
    from chaosharness.report.write import write

    print(write(example(), Path(sys.argv[1])))
