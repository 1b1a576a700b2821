"""One green literal history for each fault of a link and of the broker, in each window that offers it (see `spine`).

Connections: 1 and 4 are the consumer's to the broker, before and after the fault, 3 and 5 to the effect; 6 and 7 the
producer's; 13 is one that comes to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from spine import HEAD, RECONNECTED, C, E, P, Scenario, apply, deliver, publish, replay, settle, tail
from spine_replica import AT, again, gone, told

BOTH = '["payment.0","orders.0"]'
DELIVERED = f"""
{publish("1", 1)}
gate_held k1 @{C}#1 gate=g point=deliver bytes=90
"""
DROPPED = f"deliver k1 @{C}#1 redelivered=false settled=false how=push discarded=true"
PUBLISH = "publish k1 @{}#{} confirms=true persistent=true mandatory=true"
PUBLISHED = {
    "publish-store": f"""
    invoke k1 op=1 producer=orders by=workload
    gate_held k1 @{P}#6 gate=g point=publish bytes=80
    """,
    "store-confirm": f"""
    invoke k1 op=1 producer=orders by=workload
    {PUBLISH.format(P, 6)}
    gate_held k1 @{P}#6 gate=g point=confirm bytes=21
    {deliver("1")}
    {apply("1", 2)}
    {settle("1")}
    """,
}
PUBLISHED_AGAIN = f"""
connect @{P}#7
{PUBLISH.format(P, 7)}
confirm k1 @{P}#7 ok=true
complete k1 op=1 outcome=ok told=true
"""
LOST = {
    "publish-store": PUBLISH.format(P, 6) + " discarded=true",
    "store-confirm": f"confirm k1 @{P}#6 ok=true discarded=true",
    "store-deliver": DROPPED,
    "stored": DROPPED,
}


def comes(window: str) -> tuple[str, str]:
    """Where the message is held, and how it comes there."""
    if window in AT:
        return AT[window][:2]
    return (f"{P}#6", PUBLISHED[window]) if window in PUBLISHED else (f"{C}#1", DELIVERED)


def dropped(window: str, why: str = "connection gone") -> str:
    """What is held goes down."""
    if window in AT:
        return gone(window)
    return f'gate_released k1 @{comes(window)[0]} gate=g forwarded=false why="{why}"\n{LOST[window]}'


def goes_on(window: str) -> str:
    """What is held goes on, and is heard of as far as the sink."""
    if window in AT:
        return f"{told(window)}\n{AT[window][2]}\n{settle('1') if window == 'effect-ack' else ''}"
    return f"gate_released k1 @{C}#1 gate=g forwarded=true why=told\n{deliver('1')}\n{apply('1', 2)}"


def injected(fault: str, link: str = C) -> str:
    return f'fault_injected fault={fault} ok=true link={link} evidence={{"what":"seen"}}'


def healed(fault: str) -> str:
    return f'fault_healed fault={fault} ok=true evidence={{"what":"seen"}}'


def partition(window: str, fault: str, passes: bool = False) -> str:
    """`passes`: what is held goes on, since it is on its way in the other direction, or held at the sink."""
    producer = window in PUBLISHED
    link, conn = (P, 6) if producer else (C, 1)
    return f"""
    {HEAD}
    {comes(window)[1]}
    {injected(fault, link)}
    {goes_on(window) if passes else dropped(window, "told")}
    disconnect @{link}#{conn} by=client
    {healed(fault)}
    {afterwards(window) if producer else RECONNECTED + handed_again(window, passes)}
    """


def handed_again(window: str, passes: bool) -> str:
    if window == "effect-ack" and passes:  # the acknowledgement had arrived
        return tail(4, 3, quiet=True)
    return again(window, 3, applied=passes or window == "effect-ack") + tail(4, 3, quiet=True)


def afterwards(window: str, conn: int = 1) -> str:
    """The producer publishes once more."""
    return f"""
    {PUBLISHED_AGAIN}
    {deliver("1", conn)}
    {replay("1", 3) if window == "store-confirm" else apply("1", 2)}
    {settle("1", conn)}
    {tail(conn, 3, quiet=True, stopped=BOTH)}
    """


def broker_ends(window: str, fault: str, signal: str, by: str = "server") -> str:
    """The broker is gone and comes back, and so do they all."""
    producer, at_sink = window in PUBLISHED, comes(window)[0].startswith(E)
    ends = f"disconnect @{P}#6 by={by}\n{dropped(window)}\ndisconnect @{C}#1 by={by}" if producer else (
        f"disconnect @{C}#1 by={by}" + ("" if at_sink else f"\n{dropped(window)}")
    )  # fmt: skip
    return f"""
    {HEAD}
    {comes(window)[1]}
    signalled instance=rabbitmq.0 signal={signal} scope=tree pids=[50]
    {ends}
    exited instance=rabbitmq.0 pid=50 incarnation=1 code=0 asked=true gone=true
    {injected(fault, P if producer else C)}
    {goes_on(window) if at_sink else ""}
    started instance=rabbitmq.0 pid=51 incarnation=2
    {healed(fault)}
    {RECONNECTED}
    {afterwards(window, 4) if producer else again(window, 3, applied=window in AT) + tail(4, 3, quiet=True)}
    """


def bad_link(fault: str) -> str:
    return f"""
    {HEAD}
    {DELIVERED}
    step what="inject" fault={fault}
    {injected(fault)}
    {goes_on("store-deliver")}
    {settle("1")}
    {healed(fault)}
    {tail(quiet=True)}
    """


RESET = f"""
{HEAD}
{DELIVERED}
step what="inject" fault=reset
severed @{C}#1
disconnect @{C}#1 by=tap
{dropped("store-deliver")}
{injected("reset")}
connect @{C}#13
disconnect @{C}#13 by=client
{healed("reset")}
{RECONNECTED}
{again("store-deliver", 3, applied=False)}
{tail(4, 3, quiet=True)}
"""
RESET_AT_SINK = f"""
{HEAD}
{AT["effect-response"][1]}
step what="inject" fault=reset
severed @{E}#3
disconnect @{E}#3 by=tap
{gone("effect-response")}
{injected("reset", E)}
connect @{E}#13
disconnect @{E}#13 by=client
{healed("reset")}
connect @{E}#5
{replay("1", 5)}
{settle("1")}
{tail(1, 5, quiet=True)}
"""
REFUSE = f"""
{HEAD}
{DELIVERED}
step what="inject" fault=refuse
disconnect @{C}#1 by=client
{dropped("store-deliver")}
{injected("refuse")}
{healed("refuse")}
{RECONNECTED}
{again("store-deliver", 3, applied=False)}
{tail(4, 3, quiet=True)}
"""
FREEZE = f"""
{HEAD}
{DELIVERED}
signalled instance=rabbitmq.0 signal=freeze scope=tree pids=[50]
{injected("broker-freeze")}
{goes_on("stored")}
signalled instance=rabbitmq.0 signal=thaw scope=tree pids=[50]
{healed("broker-freeze")}
{settle("1")}
{tail(quiet=True)}
"""
ALARM = f"""
{HEAD}
{PUBLISHED["publish-store"]}
step what="inject" fault=alarm
gate_released k1 @{P}#6 gate=g forwarded=true why=told
{PUBLISH.format(P, 6)}
blocked @{P}#6 reason="low on memory"
{injected("alarm", P)}
unblocked @{P}#6
{healed("alarm")}
confirm k1 @{P}#6 ok=true
complete k1 op=1 outcome=ok told=true
{deliver("1")}
{apply("1", 2)}
{settle("1")}
{tail(quiet=True, stopped=BOTH)}
"""
SLOW = f"""
{HEAD}
{AT["deliver-effect"][1]}
step what="inject" fault=slow
closed @{C}#1 scope=channel by=server code=406 reason="delivery acknowledgement timed out"
{injected("slow")}
{goes_on("deliver-effect")}
{healed("slow")}
disconnect @{C}#1 by=client
{RECONNECTED}
{again("deliver-effect", 3, applied=True)}
{tail(4, 3, quiet=True)}
"""


def _scenarios() -> Iterator[Scenario]:
    for window, fault, passes in (
        ("store-deliver", "partition", False),
        ("store-deliver", "partition-in", False),
        ("store-deliver", "partition-out", True),
        ("deliver-effect", "partition", True),
        ("effect-response", "partition", True),
        ("effect-ack", "partition-in", True),
        ("effect-ack", "partition-out", False),
        ("publish-store", "partition", False),
        ("publish-store", "partition-out", False),
        ("store-confirm", "partition", False),
        ("store-confirm", "partition-in", False),
    ):
        text = partition(window, fault, passes)
        due = window in ("effect-response", "effect-ack") and not (window == "effect-ack" and passes)
        yield Scenario(text, window, fault, redelivers=due, producer=window in PUBLISHED)
    for window in ("publish-store", "stored", "deliver-effect", "effect-response", "effect-ack"):
        for fault, signal, by in (("broker-kill", "kill", "server"), ("broker-restart", "term", "client")):
            if (window, fault) != ("stored", "broker-kill"):  # spine's own
                due = window in ("effect-response", "effect-ack")
                text = broker_ends(window, fault, signal, by)
                yield Scenario(text, window, fault, redelivers=due, producer=window in PUBLISHED)
    for fault in ("latency", "bandwidth", "slice"):
        yield Scenario(bad_link(fault), "store-deliver", fault, can_duplicate=False)
    yield Scenario(RESET, "store-deliver", "reset", can_duplicate=False)
    yield Scenario(REFUSE, "store-deliver", "refuse", can_duplicate=False)
    yield Scenario(RESET_AT_SINK, "effect-response", "reset")
    yield Scenario(FREEZE, "stored", "broker-freeze", can_duplicate=False)
    yield Scenario(ALARM, "publish-store", "alarm", producer=True, can_duplicate=False)
    yield Scenario(SLOW, "slow", "slow")


BROKER = {f"{scenario.window}:{scenario.fault}": scenario for scenario in _scenarios()}
"""`window:fault` → scenario."""
