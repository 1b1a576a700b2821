"""One green literal history for each scenario of the first version's core: what a flow that keeps its word looks like.

`k1` is aimed at, `k2` is another message, `k9` was kept back until after the heal. Connections: 1 and 4 are the
consumer's to the broker (before and after the fault), 2 the producer's, 3 and 5 the consumer's to the effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from histories import history

from chaosharness.checkers.verdict import judge
from chaosharness.model.history import Aimed
from chaosharness.model.semantic import Promise, Semantic
from chaosharness.model.verdict import Judgement

C, E, H, P = "payment.0>broker.0", "payment.0>effect.effect.0", "harness.0>broker.0", "orders.0>broker.0"


def publish(key: str, op: int, link: str = H, conn: int = 2) -> str:
    return f"""
    invoke k{key} op={op} producer=harness by=workload
    publish k{key} @{link}#{conn} confirms=true persistent=true mandatory=true
    confirm k{key} @{link}#{conn} ok=true
    complete k{key} op={op} outcome=ok
    """


def apply(key: str, number: int, conn: int = 3) -> str:
    return f"""
    request k{key} @{E}#{conn} sink=effect method=POST idempotency_key=k{key}
    effect k{key} @{E}#{conn} sink=effect effect=effect#{number} idempotency_key=k{key}
    response k{key} @{E}#{conn} sink=effect status=200
    """


def replay(key: str, conn: int) -> str:
    return f"""
    request k{key} @{E}#{conn} sink=effect method=POST idempotency_key=k{key}
    replay k{key} @{E}#{conn} sink=effect idempotency_key=k{key}
    response k{key} @{E}#{conn} sink=effect status=200
    """


def deliver(key: str, conn: int = 1, redelivered: str = "false") -> str:
    return f"deliver k{key} @{C}#{conn} redelivered={redelivered} settled=false how=push"


def settle(key: str, conn: int = 1) -> str:
    return f"settle k{key} @{C}#{conn} how=ack requeue=false multiple=false"


HEAD = f"""
started instance=rabbitmq.0 pid=50 incarnation=1
started instance=payment.0 pid=100 incarnation=1
connect @{C}#1
subscribe @{C}#1 source=true auto_ack=false prefetch=10
subscribed @{C}#1 source=true
ready link={C}
connect @{H}#2
connect @{E}#3
gate_armed k1 gate=g point=any
kept_back count=1
{publish("2", 2)}
{deliver("2")}
{apply("2", 1)}
{settle("2")}
"""


def tail(conn: int = 1, effect_conn: int = 3, quiet: bool = False, stopped: str = '["payment.0"]') -> str:
    return f"""
    {publish("9", 9)}
    {deliver("9", conn)}
    {apply("9", 90, effect_conn)}
    {settle("9", conn)}
    drain_started within_s=30
    drained within_s=30
    {'quiet why="what the fault left alive could still act" waited_s=1.0' if quiet else ""}
    stopped instances={stopped}
    yields source=true
    """


RECONNECTED = f"""
connect @{C}#4
subscribe @{C}#4 source=true auto_ack=false prefetch=10
subscribed @{C}#4 source=true
"""
KILLED = """
signalled instance=payment.0 signal=kill scope=tree pids=[100]
exited instance=payment.0 pid=100 incarnation=1 code=-9 asked=true gone=true
"""
CRASHED = f"""
fault_injected fault=crash ok=true evidence={{"what":"SIGKILL: all gone, connection at end of file"}}
started instance=payment.0 pid=101 incarnation=2
fault_healed fault=crash ok=true evidence={{"what":"started again"}}
{RECONNECTED}
connect @{E}#5
"""

DELIVER_EFFECT_CRASH = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
request k1 @{E}#3 sink=effect method=POST idempotency_key=k1
gate_held k1 @{E}#3 gate=g point=request bytes=40
{KILLED}
disconnect @{E}#3 by=client
gate_released k1 @{E}#3 gate=g forwarded=false why="connection gone"
discarded k1 @{E}#3 sink=effect why="its connection was gone before it was applied"
disconnect @{C}#1 by=client
{CRASHED}
{deliver("1", 4, "true")}
{apply("1", 2, 5)}
{settle("1", 4)}
{tail(4, 5)}
"""
EFFECT_RESPONSE_CRASH = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
request k1 @{E}#3 sink=effect method=POST idempotency_key=k1
effect k1 @{E}#3 sink=effect effect=effect#2 idempotency_key=k1
gate_held k1 @{E}#3 gate=g point=response bytes=40
{KILLED}
disconnect @{E}#3 by=client
gate_released k1 @{E}#3 gate=g forwarded=false why="connection gone"
disconnect @{C}#1 by=client
{CRASHED}
{deliver("1", 4, "true")}
{replay("1", 5)}
{settle("1", 4)}
{tail(4, 5)}
"""
EFFECT_ACK_CRASH = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
{apply("1", 2)}
gate_held k1 @{C}#1 gate=g point=settle bytes=21
{KILLED}
disconnect @{C}#1 by=client
gate_released k1 @{C}#1 gate=g forwarded=false why="connection gone"
settle k1 @{C}#1 how=ack requeue=false multiple=false discarded=true
disconnect @{E}#3 by=client
{CRASHED}
{deliver("1", 4, "true")}
{replay("1", 5)}
{settle("1", 4)}
{tail(4, 5)}
"""
ACK_LOST = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
{apply("1", 2)}
gate_cut k1 @{C}#1 gate=g point=settle bytes=21
settle k1 @{C}#1 how=ack requeue=false multiple=false discarded=true
disconnect @{C}#1 by=tap
fault_injected fault=ack-lost ok=true evidence={{"what":"the consumer ack was thrown away"}}
fault_healed fault=ack-lost ok=true evidence={{"what":"only the one was cut"}}
{RECONNECTED}
{deliver("1", 4, "true")}
{replay("1", 3)}
{settle("1", 4)}
{tail(4, 3, quiet=True)}
"""
PUBLISH_LOST = f"""
{HEAD}
invoke k1 op=1 producer=orders by=workload
gate_cut k1 @{P}#6 gate=g point=publish bytes=80
publish k1 @{P}#6 confirms=true persistent=true mandatory=true discarded=true
disconnect @{P}#6 by=tap
fault_injected fault=publish-lost ok=true evidence={{"what":"the publish was thrown away"}}
fault_healed fault=publish-lost ok=true evidence={{"what":"only the one was cut"}}
connect @{P}#7
publish k1 @{P}#7 confirms=true persistent=true mandatory=true
confirm k1 @{P}#7 ok=true
complete k1 op=1 outcome=ok told=true
{deliver("1")}
{apply("1", 2)}
{settle("1")}
{tail(quiet=True, stopped='["payment.0","orders.0"]')}
"""
CONFIRM_LOST = f"""
{HEAD}
invoke k1 op=1 producer=orders by=workload
publish k1 @{P}#6 confirms=true persistent=true mandatory=true
gate_cut k1 @{P}#6 gate=g point=confirm bytes=21
confirm k1 @{P}#6 ok=true discarded=true
disconnect @{P}#6 by=tap
fault_injected fault=confirm-lost ok=true evidence={{"what":"the publisher confirm was thrown away"}}
fault_healed fault=confirm-lost ok=true evidence={{"what":"only the one was cut"}}
{deliver("1")}
{apply("1", 2)}
{settle("1")}
connect @{P}#7
publish k1 @{P}#7 confirms=true persistent=true mandatory=true
confirm k1 @{P}#7 ok=true
complete k1 op=1 outcome=ok told=true
{deliver("1")}
{replay("1", 3)}
{settle("1")}
{tail(quiet=True, stopped='["payment.0","orders.0"]')}
"""
REPUBLISH = f"""
{HEAD}
{publish("1", 1)}
gate_held k1 @{C}#1 gate=g point=deliver bytes=90
invoke k1 op=101 producer=harness by=republish
publish k1 @harness.1>broker.0#6 confirms=true persistent=true mandatory=true
confirm k1 @harness.1>broker.0#6 ok=true
complete k1 op=101 outcome=ok
fault_injected fault=republish ok=true evidence={{"what":"published once more, confirmed"}}
gate_released k1 @{C}#1 gate=g forwarded=true why=told
{deliver("1")}
fault_healed fault=republish ok=true evidence={{"what":"nothing to heal"}}
{apply("1", 2)}
{settle("1")}
{deliver("1")}
{replay("1", 3)}
{settle("1")}
{tail()}
"""
BROKER_KILL = f"""
{HEAD}
{publish("1", 1)}
gate_held k1 @{C}#1 gate=g point=deliver bytes=90
signalled instance=rabbitmq.0 signal=kill scope=tree pids=[50]
disconnect @{C}#1 by=server
gate_released k1 @{C}#1 gate=g forwarded=false why="connection gone"
deliver k1 @{C}#1 redelivered=false settled=false how=push discarded=true
exited instance=rabbitmq.0 pid=50 incarnation=1 code=-9 asked=true gone=true
fault_injected fault=broker-kill ok=true evidence={{"what":"SIGKILL: all gone, connection at end of file"}}
started instance=rabbitmq.0 pid=51 incarnation=2
fault_healed fault=broker-kill ok=true evidence={{"what":"it serves clients again"}}
{RECONNECTED}
{deliver("1", 4, "true")}
{apply("1", 2)}
{settle("1", 4)}
{tail(4, 3, quiet=True)}
"""
CUT = f"""
{HEAD}
{publish("1", 1)}
gate_cut k1 @{C}#1 gate=g point=deliver bytes=90
deliver k1 @{C}#1 redelivered=false settled=false how=push discarded=true
disconnect @{C}#1 by=tap
fault_injected fault=cut ok=true evidence={{"what":"the delivery was thrown away"}}
fault_healed fault=cut ok=true evidence={{"what":"only the one was cut"}}
{RECONNECTED}
{deliver("1", 4, "true")}
{apply("1", 2)}
{settle("1", 4)}
{tail(4, 3, quiet=True)}
"""
PARTITION = f"""
{HEAD}
{publish("1", 1)}
{deliver("1")}
{apply("1", 2)}
gate_held k1 @{C}#1 gate=g point=settle bytes=21
gate_released k1 @{C}#1 gate=g forwarded=false why=told
settle k1 @{C}#1 how=ack requeue=false multiple=false discarded=true
disconnect @{C}#1 by=tap
fault_injected fault=partition ok=true link={C} evidence={{"what":"both toxics read back"}}
fault_healed fault=partition ok=true evidence={{"what":"the toxics are gone"}}
{RECONNECTED}
{deliver("1", 4, "true")}
{replay("1", 3)}
{settle("1", 4)}
{tail(4, 3, quiet=True)}
"""

EXACTLY = Promise(Semantic.EFFECTIVELY_ONCE)
AT_LEAST = Promise(Semantic.AT_LEAST_ONCE)
AT_MOST = Promise(Semantic.AT_MOST_ONCE)
PROBE = Promise(None)


@dataclass(frozen=True)
class Scenario:
    """A green history, and what was aimed in it."""

    text: str
    window: str
    fault: str
    redelivers: bool = False
    can_duplicate: bool = True
    producer: bool = False
    aimed: Aimed = field(init=False)

    def __post_init__(self) -> None:
        own = ("payment.0", "orders.0") if self.producer else ("payment.0",)
        aimed = Aimed(
            key="k1",
            window=self.window,
            faults=(self.fault,),
            gate="g",
            producer_window=self.producer,
            sut_producer=self.producer,
            redelivers=self.redelivers,
            can_duplicate=self.can_duplicate,
            stopped_by=own,
        )
        object.__setattr__(self, "aimed", aimed)

    def judge(self, text: str | None = None, promise: Promise = EXACTLY) -> Judgement:
        """Of its own history, or of another one."""
        return judge(history(self.text if text is None else text), promise, self.aimed)


SPINE = {
    f"{scenario.window}:{scenario.fault}": scenario
    for scenario in (
        Scenario(DELIVER_EFFECT_CRASH, "deliver-effect", "crash", can_duplicate=False),
        Scenario(EFFECT_RESPONSE_CRASH, "effect-response", "crash", redelivers=True),
        Scenario(EFFECT_ACK_CRASH, "effect-ack", "crash", redelivers=True),
        Scenario(ACK_LOST, "ack-settle", "ack-lost", redelivers=True),
        Scenario(PUBLISH_LOST, "publish-store", "publish-lost", producer=True, can_duplicate=False),
        Scenario(CONFIRM_LOST, "store-confirm", "confirm-lost", producer=True),
        Scenario(REPUBLISH, "store-confirm", "republish"),
        Scenario(BROKER_KILL, "stored", "broker-kill", redelivers=True, can_duplicate=False),
        Scenario(CUT, "store-deliver", "cut", redelivers=True, can_duplicate=False),
        Scenario(PARTITION, "effect-ack", "partition", redelivers=True),
    )
}
"""`window:fault` → scenario."""
CRASH = SPINE["effect-ack:crash"]
