"""One green literal history for each fault of a store (see `spine`): `dedup` in front of a sink that is idempotent.

Connections: 1 and 4 are payment.0's to the broker, 3 and 5 to the effect, 7 and 8 to the store, before and after; 11,
12 and 13 are those of a second replica.
"""

from __future__ import annotations

from dataclasses import replace

from spine import (
    CRASHED,
    EXACTLY,
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

S = "payment.0>store.dedup.0"
D, F, R = "payment.1>broker.0", "payment.1>effect.effect.0", "payment.1>store.dedup.0"
BOTH = '["payment.0","payment.1"]'
BOUNDED = replace(EXACTLY, redeliver_within_s=3600)


def look(found: str, conn: int = 7, link: str = S) -> str:
    return f"""
    lookup k1 @{link}#{conn} store=dedup command=EXISTS
    looked_up k1 @{link}#{conn} store=dedup found={found}
    """


def record(conn: int = 7, ttl_s: str = "60", link: str = S, ok: str = "true") -> str:
    return f"""
    record k1 @{link}#{conn} store=dedup command=SET entry=done:k1 fresh_only=true ttl_s={ttl_s}
    recorded k1 @{link}#{conn} store=dedup ok={ok}
    """


AT_THE_ACK = f"""
started instance=store.0 pid=60 incarnation=1
{HEAD}
connect @{S}#7
{publish("1", 1)}
{deliver("1")}
{look("false")}
{apply("1", 2)}
{record()}
gate_held k1 @{C}#1 gate=g point=settle bytes=21
"""
SEVERED = f"""
gate_released k1 @{C}#1 gate=g forwarded=false why=told
settle k1 @{C}#1 how=ack requeue=false multiple=false discarded=true
severed @{C}#1
disconnect @{C}#1 by=tap
"""


def then(found: str, conn: int = 7) -> str:
    """The message comes again: it is known, or its effect is collapsed."""
    return f"""
    {deliver("1", 4, "true")}
    {look(found, conn)}
    {"" if found == "true" else replay("1", 3)}
    {settle("1", 4)}
    """


WIPE = f"""
{AT_THE_ACK}
step what=inject fault=wipe
fault_injected fault=wipe ok=true evidence={{"what":"19 entries before, 0 after"}}
{SEVERED}
fault_healed fault=wipe ok=true evidence={{"what":"nothing to heal"}}
{RECONNECTED}
{then("false")}
{tail(4, 3, quiet=True)}
"""
RESTART = f"""
{AT_THE_ACK}
step what=inject fault=restart
signalled instance=store.0 signal=term scope=parent pids=[60]
disconnect @{S}#7 by=server
exited instance=store.0 pid=60 incarnation=1 code=0 asked=true gone=true
started instance=store.0 pid=61 incarnation=2
fault_injected fault=restart ok=true evidence={{"what":"SIGTERM, ended, started again"}}
{SEVERED}
fault_healed fault=restart ok=true evidence={{"what":"it serves clients again"}}
{RECONNECTED}
connect @{S}#8
{then("true", 8)}
{tail(4, 3, quiet=True)}
"""
UNREACHABLE = f"""
{AT_THE_ACK}
step what=inject fault=unreachable
fault_injected fault=unreachable ok=true link={S} evidence={{"what":"both toxics read back"}}
{SEVERED}
{RECONNECTED}
{deliver("1", 4, "true")}
settle k1 @{C}#4 how=nack requeue=true multiple=false
disconnect @{S}#7 by=client
fault_healed fault=unreachable ok=true evidence={{"what":"the toxics are gone"}}
connect @{S}#8
{then("true", 8)}
{tail(4, 3, quiet=True)}
"""
EXPIRE = f"""
{AT_THE_ACK}
step what=inject fault=expire
{SEVERED}
fault_injected fault=expire ok=true evidence={{"what":"expired, and gone: done:k1 (59.9 s left)"}}
fault_healed fault=expire ok=true evidence={{"what":"nothing to heal"}}
{RECONNECTED}
{then("false")}
{tail(4, 3, quiet=True)}
"""
RECORD_FIRST = f"""
{HEAD}
connect @{S}#7
{publish("1", 1)}
{deliver("1")}
record k1 @{S}#7 store=dedup command=SET entry=claim:k1 fresh_only=true ttl_s=3
gate_held k1 @{S}#7 gate=g point=recorded bytes=5
{KILLED}
disconnect @{S}#7 by=client
gate_released k1 @{S}#7 gate=g forwarded=false why="connection gone"
recorded k1 @{S}#7 store=dedup ok=true discarded=true
disconnect @{C}#1 by=client
{CRASHED}
connect @{S}#8
{deliver("1", 4, "true")}
{record(8, "3")}
{apply("1", 2, 5)}
{settle("1", 4)}
{tail(4, 5)}
"""
EFFECT_FIRST = f"""
{HEAD}
connect @{S}#7
{publish("1", 1)}
{deliver("1")}
{look("false")}
{apply("1", 2)}
gate_held k1 @{S}#7 gate=g point=record bytes=40
{KILLED}
disconnect @{S}#7 by=client
gate_released k1 @{S}#7 gate=g forwarded=false why="connection gone"
record k1 @{S}#7 store=dedup command=SET entry=done:k1 fresh_only=false ttl_s=60 discarded=true
disconnect @{C}#1 by=client
{CRASHED}
connect @{S}#8
{deliver("1", 4, "true")}
{look("false", 8)}
{replay("1", 5)}
{record(8)}
{settle("1", 4)}
{tail(4, 5)}
"""
LATE = f"""
{HEAD}
connect @{S}#7
{publish("1", 1)}
{deliver("1")}
record k1 @{S}#7 store=dedup command=SET entry=claim:k1 fresh_only=true ttl_s=60
gate_held k1 @{S}#7 gate=g point=recorded bytes=5
step what=inject fault=latency
fault_injected fault=latency ok=true link={S} evidence={{"what":"both toxics read back"}}
gate_released k1 @{S}#7 gate=g forwarded=true why=told
recorded k1 @{S}#7 store=dedup ok=true
settle k1 @{C}#1 how=nack requeue=true multiple=false
disconnect @{S}#7 by=client
fault_healed fault=latency ok=true evidence={{"what":"the toxics are gone"}}
connect @{S}#8
{deliver("1", 1, "true")}
{record(8, ok="false")}
{apply("1", 2)}
{settle("1")}
{tail(quiet=True)}
"""
AT_WORK = f"""
{HEAD}
started instance=payment.1 pid=200 incarnation=1
{RECONNECTED.replace("#4", "#11").replace(C, D)}
connect @{S}#7
connect @{R}#13
connect @{F}#12
{publish("1", 1)}
{deliver("1")}
{record(ttl_s="3")}
request k1 @{E}#3 sink=effect method=POST idempotency_key=k1
gate_held k1 @{E}#3 gate=g point=request bytes=40
step what=inject fault=expire
severed @{C}#1
disconnect @{C}#1 by=tap
{deliver("1", 11, "true").replace(C, D)}
{record(13, "3", R)}
{apply("1", 2, 12).replace(E, F)}
{settle("1", 11).replace(C, D)}
fault_injected fault=expire ok=true evidence={{"what":"expired, and gone: done:k1 (2.9 s left)"}}
gate_released k1 @{E}#3 gate=g forwarded=true why=told
replay k1 @{E}#3 sink=effect idempotency_key=k1
response k1 @{E}#3 sink=effect status=200
fault_healed fault=expire ok=true evidence={{"what":"nothing to heal"}}
{RECONNECTED}
{tail(4, 3, quiet=True, stopped=BOTH)}
""".replace("invoke k2", f"ready link={D}\ninvoke k2")

STORE = {
    f"{scenario.window}:{scenario.fault}": scenario
    for scenario in (
        Scenario(WIPE, "dedup", "wipe", redelivers=True),
        Scenario(RESTART, "dedup", "restart", redelivers=True),
        Scenario(UNREACHABLE, "dedup", "unreachable", redelivers=True),
        Scenario(EXPIRE, "dedup", "expire", redelivers=True),
        Scenario(EFFECT_FIRST, "dedup", "crash", redelivers=True),
        Scenario(LATE, "dedup", "latency"),
        Scenario(AT_WORK, "slow", "expire", redelivers=True),
    )
}
"""`window:fault` → scenario."""
CLAIMED = Scenario(RECORD_FIRST, "dedup", "crash", redelivers=True)
"""The same crash, where the record comes before the effect."""
