"""What the faults of links and of the broker decide from what has been recorded: literal histories, no server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from histories import history
from spine import C, E, P
from test_faults_process import Replica, Story, target

from chaosharness.faults.alarm import Alarm
from chaosharness.faults.broker_freeze import BrokerFreeze
from chaosharness.faults.broker_kill import BrokerKill, BrokerRestart
from chaosharness.faults.partition import Partition, PartitionIn, PartitionOut
from chaosharness.faults.refuse import Refuse
from chaosharness.faults.reset import Reset
from chaosharness.faults.slow import SETTLED, Slow
from chaosharness.faults.slow_link import Latency
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.gate import Hold, Point
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Injection, Release, Target

DELIVERED = f"connect @{C}#1\nconnect @{E}#3\ndeliver k1 @{C}#1 settled=false\n"
TOOK_BACK = f'closed @{C}#1 scope=channel by=server code=406 reason="delivery acknowledgement timed out"\n'


class ALink:
    """Notes what is done to it; `then` becomes of it as soon as it is bad."""

    def __init__(self, id: str = C, then: str = "") -> None:
        self.id = id
        self.done: list[str] = []
        self.then = then
        self.story = Story([])

    @contextmanager
    def apply(self, *toxics: Mapping[str, Any]) -> Iterator[Evidence]:
        self.done += [f"{toxic['type']} {toxic['stream']}" for toxic in toxics]
        self.story.then(self.then)
        yield Evidence(True, "toxics in place", {"link": self.id})
        self.done.append("removed")

    def disable(self) -> Evidence:
        self.done.append("disable")
        return Evidence(True, "refused", {"link": self.id})

    def enable(self) -> Evidence:
        self.done.append("enable")
        self.story.then(self.then)
        return Evidence(True, "enabled", {"link": self.id})


def held(
    point: Point, at: str = C, before: str = DELIVERED, then: str = "", **more: Any
) -> tuple[Target, ALink, Story]:
    story, link = Story(list(history(before).events)), ALink(at if at != E else C, then)
    link.story = story
    ticket = SimpleNamespace(
        hold=Hold("g", "k1", at, 3 if at == E else 1, point),
        await_gone=lambda _: Evidence(True, "end of file", {"by": "client"}),
        forward=lambda: Evidence(True, "goes on"),
    )
    more = {"ticket": ticket, "link": link, "held_link": link, **more}
    return target(Replica(), story, at, **more), link, story


def inject(fault: Any, at: Target) -> Injection:
    with fault.inject(at) as injection:
        pass
    found: Injection = injection
    return found


def healing(injection: Injection) -> Evidence:
    assert injection.healed
    return injection.healed


# links


@pytest.mark.parametrize(
    ("fault", "point", "at", "release"),
    [
        (Partition(), Point.SETTLE, C, None),
        (Partition(), Point.DELIVER, C, None),
        (Partition(), Point.REQUEST, E, Release.FORWARD),
        (Partition(), Point.RESPONSE, E, Release.FORWARD),
        (PartitionIn(), Point.SETTLE, C, Release.FORWARD),
        (PartitionIn(), Point.DELIVER, C, None),
        (PartitionIn(), Point.CONFIRM, P, None),
        (PartitionOut(), Point.SETTLE, C, None),
        (PartitionOut(), Point.DELIVER, C, Release.FORWARD),
        (PartitionOut(), Point.PUBLISH, P, None),
    ],
)
def test_what_is_on_its_way_into_a_black_hole_goes_down_and_nothing_else(
    fault: Any, point: Point, at: str, release: Release | None
) -> None:
    aimed, link, _ = held(point, at)
    injection = inject(fault, aimed)
    assert injection.release is release
    assert injection.evidence.ok
    assert healing(injection).ok
    assert link.done[-1] == "removed"


def test_a_bad_link_stays_bad_until_the_message_has_come_through() -> None:
    aimed, link, _ = held(Point.DELIVER, then=f"settle k1 @{C}#1 how=ack\n")
    injection = inject(Latency(), aimed)
    assert link.done == ["latency upstream", "latency downstream", "removed"]
    assert "came through (settle)" in healing(injection).what
    aimed, _, _ = held(Point.DELIVER, then=f"disconnect @{C}#1 by=client\n")
    assert "closed by the client" in healing(inject(Latency(), aimed)).what
    aimed, _, _ = held(Point.DELIVER)
    assert "did not come through" in healing(inject(Latency(), aimed)).what


@pytest.mark.parametrize(
    ("then", "said"),
    [
        (f"connect @{C}#4\ndisconnect @{C}#4 by=client\n", "a new connection was reset"),
        (f"connect @{C}#4\n", "nobody came back"),
        (f"disconnect @{C}#1 by=tap\n", "nobody came back"),
    ],
)
def test_who_comes_back_is_reset_too(then: str, said: str) -> None:
    severed: list[str] = []

    def sever() -> Evidence:
        severed.append("it")
        return Evidence(False, "0 connections closed at the tap")  # what passed on it had closed it already

    aimed, link, _ = held(Point.DELIVER, then=then, sever_held=sever)
    injection = inject(Reset(), aimed)
    assert injection.evidence.ok
    assert severed
    assert said in healing(injection).what
    assert link.done == ["reset_peer upstream", "reset_peer downstream", "removed"]


def test_a_refusal_in_which_somebody_came_through_is_none() -> None:
    aimed, link, _ = held(Point.DELIVER, then=f"connect @{C}#4\n")
    injection = inject(Refuse(), aimed)
    assert injection.evidence.ok
    assert healing(injection).ok  # it came after the end
    assert link.done == ["disable", "enable"]
    aimed, link, story = held(Point.DELIVER)
    with Refuse().inject(aimed) as leaky:
        story.then(f"connect @{C}#4\n")
    assert not healing(leaky).ok


# the broker


def test_a_broker_is_started_again_whatever_becomes_of_the_fault() -> None:
    broker, ready = Replica("rabbitmq.0"), []
    aimed, _, _ = held(Point.DELIVER, server=broker, server_ready=lambda: ready.append(1))
    with pytest.raises(ZeroDivisionError), BrokerKill().inject(aimed):
        raise ZeroDivisionError
    assert broker.asked == ["kill tree", "restart"]
    assert ready


@pytest.mark.parametrize(("fault", "asked"), [(BrokerKill(), "kill tree"), (BrokerRestart(), "term parent")])
def test_at_a_sink_the_link_to_the_broker_must_end_and_the_request_goes_on(fault: Any, asked: str) -> None:
    broker = Replica("rabbitmq.0")
    aimed, _, story = held(Point.REQUEST, E, server=broker, server_ready=lambda: None)
    broker.on[asked] = lambda: story.then(f"disconnect @{C}#1 by=server\n")
    injection = inject(fault, aimed)
    assert (injection.evidence.ok, injection.release) == (True, Release.FORWARD)
    unseen, _, _ = held(Point.REQUEST, E, server=Replica("rabbitmq.0"), server_ready=lambda: None)
    assert not inject(fault, unseen).evidence.ok


def test_a_broker_that_does_not_end_in_good_order_is_killed_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaosharness.faults.broker_kill.GRACE_S", 0.01)
    broker = Replica("rabbitmq.0", ends=False)
    aimed, _, _ = held(Point.DELIVER, server=broker, server_ready=lambda: None)
    injection = inject(BrokerRestart(), aimed)
    assert broker.asked == ["term parent", "kill tree", "restart"]
    assert (injection.evidence.facts["forced"], injection.release) == (True, Release.DISCARD)


def test_a_frozen_broker_is_thawed() -> None:
    broker = Replica("rabbitmq.0")
    aimed, _, _ = held(Point.DELIVER, server=broker, server_ready=lambda: None)
    injection = inject(BrokerFreeze(), aimed)
    assert broker.asked == ["freeze tree", "thaw tree"]
    assert healing(injection).ok


class Alarming:
    name = "any"
    on = False

    @contextmanager
    def alarm(self, server: Any) -> Iterator[Evidence]:
        self.on = True
        yield Evidence(True, "its alarm is in effect", {"alarmed": True})
        self.on = False


@pytest.mark.parametrize(("then", "told"), [(f"blocked @{P}#6 reason=memory\n", True), ("", False)])
def test_an_alarm_says_whether_the_producer_was_told(then: str, told: bool) -> None:
    broker = Alarming()
    aimed, _, story = held(Point.PUBLISH, P, broker=broker, server=None)

    def forward() -> Evidence:
        assert broker.on
        story.then(then)
        return Evidence(True, "goes on")

    aimed.ticket.forward = forward  # type: ignore[method-assign]
    injection = inject(Alarm(), aimed)
    assert (injection.evidence.ok, injection.evidence.facts["told"]) == (True, told)
    assert not broker.on


def test_a_broker_without_alarms_or_patience() -> None:
    aimed, _, _ = held(Point.PUBLISH, P, broker=SimpleNamespace(name="any"))
    assert "raises no alarms" in (inject(Alarm(), aimed).declined or "")
    with pytest.raises(HarnessBroke, match="no time-out"):
        Slow().prepare(SimpleNamespace(name="any"), None)  # type: ignore[arg-type]


def test_slow_work_is_let_go_when_the_broker_has_taken_it_back() -> None:
    lowered = Evidence(True, "lowered to 3 s")
    aimed, _, story = held(Point.REQUEST, E, prepared=lowered)
    other = "deliver k1 @payment.1>broker.0#11 redelivered=true settled=false\n"
    slow = Slow()
    story.wait = _after(story, TOOK_BACK + other)  # type: ignore[method-assign]
    evidence = inject(slow, aimed).evidence
    assert evidence.ok
    assert "lowered to 3 s" in evidence.what
    assert "payment.1>broker.0" in evidence.what


def _after(story: Story, text: str) -> Any:
    """It happens while it is waited for."""
    wait = story.wait
    said: list[int] = []

    def waited(*args: Any) -> Any:
        if not said:
            said.append(1)
            story.then(text)
        return wait(*args)

    return waited


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOOK_BACK.replace("timed out", "refused"),
        TOOK_BACK.replace("#1", "#9"),
        TOOK_BACK.replace("server", "client"),
    ],
)
def test_another_close_is_not_the_brokers_time_out(text: str) -> None:
    aimed, _, story = held(Point.REQUEST, E)
    story.wait = _after(story, text)  # type: ignore[method-assign]
    assert not inject(Slow(), aimed).evidence.ok


def test_a_delivery_that_was_settled_first_has_no_time_out() -> None:
    aimed, _, _ = held(Point.REQUEST, E, before=DELIVERED + f"settle k1 @{C}#1 how=ack\n")
    assert inject(Slow(), aimed).declined == SETTLED
