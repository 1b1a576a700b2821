"""One green literal history for each fault of a replica's processes, and of replicas that come and go (see `spine`).

Connections: 1 and 4 are payment.0's to the broker, 3 and 5 to the effect, before and after; 11 and 12 are those of a
second replica, or of a worker beside.
"""

from __future__ import annotations

from collections.abc import Iterator

from spine import HEAD, RECONNECTED, C, E, Scenario, apply, deliver, publish, replay, settle, tail

D, F = "payment.1>broker.0", "payment.1>effect.effect.0"
BOTH = '["payment.0","payment.1"]'

AT: dict[str, tuple[str, str, str]] = {
    "deliver-effect": (
        f"{E}#3",
        f"""
        {publish("1", 1)}
        {deliver("1")}
        request k1 @{E}#3 sink=effect method=POST idempotency_key=k1
        gate_held k1 @{E}#3 gate=g point=request bytes=40
        """,
        f"""
        effect k1 @{E}#3 sink=effect effect=effect#2 idempotency_key=k1
        response k1 @{E}#3 sink=effect status=200
        """,
    ),
    "effect-response": (
        f"{E}#3",
        f"""
        {publish("1", 1)}
        {deliver("1")}
        request k1 @{E}#3 sink=effect method=POST idempotency_key=k1
        effect k1 @{E}#3 sink=effect effect=effect#2 idempotency_key=k1
        gate_held k1 @{E}#3 gate=g point=response bytes=40
        """,
        f"response k1 @{E}#3 sink=effect status=200",
    ),
    "effect-ack": (
        f"{C}#1",
        f"""
        {publish("1", 1)}
        {deliver("1")}
        {apply("1", 2)}
        gate_held k1 @{C}#1 gate=g point=settle bytes=21
        """,
        "",
    ),
}
"""Window → where the message is held, how it comes there, and what follows at the sink when it goes on."""
DISCARDED = f"settle k1 @{C}#1 how=ack requeue=false multiple=false discarded=true"
SECOND = f"""
started instance=payment.1 pid=200 incarnation=1
connect @{D}#11
subscribe @{D}#11 source=true auto_ack=false prefetch=10
subscribed @{D}#11 source=true
ready link={D}
connect @{F}#12
"""


def on(link: str, effect: str, text: str) -> str:
    """What payment.0 does, done by another."""
    return text.replace(C, link).replace(E, effect)


def told(window: str) -> str:
    return f"gate_released k1 @{AT[window][0]} gate=g forwarded=true why=told"


def gone(window: str) -> str:
    """What is held goes down with its connection."""
    where = AT[window][0]
    released = f'gate_released k1 @{where} gate=g forwarded=false why="connection gone"'
    if window == "effect-ack":
        return f"{released}\n{DISCARDED}"
    if window == "deliver-effect":
        return f'{released}\ndiscarded k1 @{where} sink=effect why="its connection was gone before it was applied"'
    return released


def again(window: str, conn: int, applied: bool) -> str:
    """The redelivery, and what comes of it."""
    return f"""
    {deliver("1", 4, "true")}
    {replay("1", conn) if applied else apply("1", 2, conn)}
    {settle("1", 4)}
    """


def crash_child(window: str) -> str:
    where, comes, _ = AT[window]
    other = f"{C}#1" if where.startswith(E) else f"{E}#3"
    return f"""
    {HEAD}
    {comes}
    signalled instance=payment.0 signal=kill scope=child pids=[101]
    disconnect @{where} by=client
    {gone(window)}
    disconnect @{other} by=client
    fault_injected fault=crash-child ok=true evidence={{"what":"SIGKILL to process 101"}}
    fault_healed fault=crash-child ok=true evidence={{"what":"what is left of it goes on"}}
    {RECONNECTED}
    connect @{E}#5
    {again(window, 5, applied=window != "deliver-effect")}
    {tail(4, 5, quiet=True)}
    """


def crash_parent(window: str) -> str:
    _, comes, goes_on = AT[window]
    return f"""
    {HEAD}
    {comes}
    signalled instance=payment.0 signal=kill scope=parent pids=[100]
    exited instance=payment.0 pid=100 incarnation=1 code=-9 asked=true gone=false
    started instance=payment.0 pid=110 incarnation=2
    {RECONNECTED}
    fault_injected fault=crash-parent ok=true evidence={{"what":"SIGKILL; 2 of its descendants live on"}}
    {told(window)}
    fault_healed fault=crash-parent ok=true evidence={{"what":"started again"}}
    {goes_on}
    {settle("1")}
    connect @{E}#5
    {tail(4, 5, quiet=True)}
    """


def ended(window: str, fault: str) -> str:
    """Its first part: up to the restart."""
    _, comes, goes_on = AT[window]
    return f"""
    {HEAD}
    {comes}
    signalled instance=payment.0 signal=term scope=parent pids=[100]
    fault_injected fault={fault} ok=true evidence={{"what":"SIGTERM to 1 process"}}
    {told(window)}
    {goes_on}
    {settle("1")}
    disconnect @{C}#1 by=client
    disconnect @{E}#3 by=client
    exited instance=payment.0 pid=100 incarnation=1 code=0 asked=true gone=true
    started instance=payment.0 pid=110 incarnation=2
    fault_healed fault={fault} ok=true evidence={{"what":"ended by itself; started again"}}
    {RECONNECTED}
    connect @{E}#5
    """


def freeze(window: str) -> str:
    """One replica alone: what is held at the sink goes on for it, and the message comes to it again."""
    _, comes, goes_on = AT[window]
    at_broker = window == "effect-ack"
    return f"""
    {HEAD}
    {comes}
    signalled instance=payment.0 signal=freeze scope=tree pids=[100]
    severed @{C}#1
    disconnect @{C}#1 by=tap
    {gone(window) if at_broker else ""}
    fault_injected fault=freeze ok=true evidence={{"what":"SIGSTOP to 1 process; all stopped"}}
    {"" if at_broker else told(window)}
    {goes_on}
    signalled instance=payment.0 signal=thaw scope=tree pids=[100]
    fault_healed fault=freeze ok=true evidence={{"what":"SIGCONT to 1 process; all running"}}
    {RECONNECTED}
    {again(window, 3, applied=True)}
    {tail(4, 3, quiet=True)}
    """


LEAVE = f"""
{SECOND}
{ended("deliver-effect", "leave")}
{on(D, F, tail(11, 12, stopped=BOTH))}
"""
ZOMBIE = f"""
{SECOND}
{HEAD}
{AT["deliver-effect"][1]}
signalled instance=payment.0 signal=freeze scope=tree pids=[100]
disconnect @{C}#1 by=server
{on(D, F, deliver("1", 11, "true"))}
{on(D, F, apply("1", 2, 12))}
{on(D, F, settle("1", 11))}
fault_injected fault=freeze ok=true evidence={{"what":"SIGSTOP to 1 process; all stopped"}}
{told("deliver-effect")}
replay k1 @{E}#3 sink=effect idempotency_key=k1
response k1 @{E}#3 sink=effect status=200
signalled instance=payment.0 signal=thaw scope=tree pids=[100]
fault_healed fault=freeze ok=true evidence={{"what":"SIGCONT to 1 process; all running"}}
{RECONNECTED}
{tail(4, 3, quiet=True, stopped=BOTH)}
"""
JOIN = f"""
{HEAD}
{AT["deliver-effect"][1]}
{SECOND}
fault_injected fault=join ok=true evidence={{"what":"payment.1 has joined and subscribed"}}
{told("deliver-effect")}
fault_healed fault=join ok=true evidence={{"what":"the newcomer stays"}}
{AT["deliver-effect"][2]}
{settle("1")}
{on(D, F, tail(11, 12, quiet=True, stopped=BOTH))}
"""


def _scenarios() -> Iterator[Scenario]:
    for window in AT:
        applied = window != "deliver-effect"
        for fault, text in {
            "crash-child": crash_child(window),
            "crash-parent": crash_parent(window),
            "term": ended(window, "term") + tail(4, 5),
            "freeze": freeze(window),
        }.items():
            yield Scenario(text, window, fault, redelivers=applied, can_duplicate=applied)
    yield Scenario(LEAVE, "rebalance", "leave")
    yield Scenario(ZOMBIE, "rebalance", "freeze")
    yield Scenario(JOIN, "rebalance", "join")


REPLICA = {f"{scenario.window}:{scenario.fault}": scenario for scenario in _scenarios()}
"""`window:fault` → scenario."""
