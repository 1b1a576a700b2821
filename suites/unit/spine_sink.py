"""One green literal history for each fault of a sink, and for each message that can never succeed (see `spine`).

Connections: 1 and 4 are payment.0's to the broker, 3 and 5 to the effect, before and after. In `poison`, k1 ends in the
dead-letter place, and has no effect.
"""

from __future__ import annotations

from spine import (
    HEAD,
    KILLED,
    RECONNECTED,
    C,
    E,
    Scenario,
    apply,
    deliver,
    publish,
    replay,
    settle,
    tail,
)


def refuse(status: int, conn: int = 3, key: str = "k1") -> str:
    answered = f"response {key} @{E}#{conn} sink=effect status={status}" if status else ""
    return f"""
    refused {key} @{E}#{conn} sink=effect status={status}
    {answered}
    """


def ask(conn: int = 3) -> str:
    return f"request k1 @{E}#{conn} sink=effect method=POST idempotency_key=k1"


def reject(conn: int = 1) -> str:
    return f"settle k1 @{C}#{conn} how=reject requeue=false multiple=false"


HELD = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
{ask()}
gate_held k1 @{E}#3 gate=g point=request bytes=40
"""
OUTAGE = f"""
{HELD}
step what="inject outage" fault=outage
gate_released k1 @{E}#3 gate=g forwarded=true why=told
{refuse(503)}
{ask()}
{refuse(0)}
fault_injected fault=outage ok=true evidence={{"what":"the sink refused k1"}}
disconnect @{E}#3 by=tap
fault_healed fault=outage ok=true evidence={{"what":"the sink serves again","met":2}}
connect @{E}#5
{apply("1", 2, 5)}
{settle("1")}
{tail(1, 5, quiet=True)}
"""
RESPONSE_LOST = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
{ask()}
effect k1 @{E}#3 sink=effect effect=effect#2 idempotency_key=k1
gate_cut k1 @{E}#3 gate=g point=response bytes=90
disconnect @{E}#3 by=tap
fault_injected fault=response-lost ok=true evidence={{"what":"the sink's answer was thrown away"}}
fault_healed fault=response-lost ok=true evidence={{"what":"only the one was cut"}}
connect @{E}#5
{replay("1", 5)}
{settle("1")}
{tail(1, 5, quiet=True)}
"""
APPLY_LATE = f"""
{HELD}
step what="inject apply-late" fault=apply-late
+10s disconnect @{E}#3 by=client
gate_released k1 @{E}#3 gate=g forwarded=false why="connection gone"
effect k1 @{E}#3 sink=effect effect=effect#2 idempotency_key=k1
fault_injected fault=apply-late ok=true evidence={{"what":"the caller gave up"}}
fault_healed fault=apply-late ok=true evidence={{"what":"nothing late any more"}}
connect @{E}#5
{replay("1", 5)}
{settle("1")}
{tail(1, 5, quiet=True)}
"""
REJECT = f"""
{HELD}
step what="inject reject" fault=reject
gate_released k1 @{E}#3 gate=g forwarded=true why=told
{refuse(422)}
fault_injected fault=reject ok=true evidence={{"what":"the sink refused k1"}}
fault_healed fault=reject ok=true evidence={{"what":"for good"}}
{reject()}
{tail(quiet=True)}
parked k1 place=dead
"""
MALFORMED = f"""
{HEAD}
{publish("1", 1).replace("by=workload", "by=workload spoiled=true")}
gate_held k1 @{C}#1 gate=g point=deliver bytes=90
step what="inject malformed" fault=malformed
fault_injected fault=malformed ok=true evidence={{"what":"delivered, spoiled"}}
gate_released k1 @{C}#1 gate=g forwarded=true why=told
{deliver("1")}
fault_healed fault=malformed ok=true evidence={{"what":"it stays what it is"}}
{reject()}
{tail(quiet=True)}
parked k1 place=dead
"""
KILLER = f"""
{HELD}
step what="inject killer" fault=killer
{KILLED}
disconnect @{E}#3 by=client
gate_released k1 @{E}#3 gate=g forwarded=false why="connection gone"
discarded k1 @{E}#3 sink=effect why="its connection was gone before it was applied"
disconnect @{C}#1 by=client
started instance=payment.0 pid=101 incarnation=2
{RECONNECTED}
connect @{E}#5
gate_armed k1 gate=g-2 point=request
{deliver("1", 4, "true")}
{ask(5)}
gate_held k1 @{E}#5 gate=g-2 point=request bytes=40
signalled instance=payment.0 signal=kill scope=tree pids=[101]
exited instance=payment.0 pid=101 incarnation=2 code=-9 asked=true gone=true
disconnect @{E}#5 by=client
gate_released k1 @{E}#5 gate=g-2 forwarded=false why="connection gone"
discarded k1 @{E}#5 sink=effect why="its connection was gone before it was applied"
disconnect @{C}#4 by=client
started instance=payment.0 pid=102 incarnation=3
{RECONNECTED.replace("#4", "#6")}
connect @{E}#7
gate_armed k1 gate=g-3 point=request
gate_disarmed gate=g-3
fault_injected fault=killer ok=true evidence={{"what":"killed twice","kills":2}}
fault_healed fault=killer ok=true evidence={{"what":"started again"}}
{tail(6, 7, quiet=True)}
parked k1 place=dead
"""

SINK = {
    f"{scenario.window}:{scenario.fault}": scenario
    for scenario in (
        Scenario(OUTAGE, "deliver-effect", "outage", can_duplicate=False),
        Scenario(RESPONSE_LOST, "effect-response", "response-lost"),
        Scenario(APPLY_LATE, "effect-response", "apply-late"),
        Scenario(REJECT, "poison", "reject", can_duplicate=False),
        Scenario(MALFORMED, "poison", "malformed", can_duplicate=False),
        Scenario(KILLER, "poison", "killer", can_duplicate=False),
    )
}
"""`window:fault` → scenario."""
