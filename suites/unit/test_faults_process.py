"""What the faults of a replica's processes decide from what has been recorded: literal histories, no process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from histories import history
from spine import C, E
from spine_replica import D

from chaosharness.faults.crash_child import NO_CHILD, CrashChild
from chaosharness.faults.crash_parent import NO_ORPHANS, CrashParent
from chaosharness.faults.freeze import Freeze
from chaosharness.faults.join import Join
from chaosharness.faults.process import own_end
from chaosharness.faults.term import ALONE, Leave, Term
from chaosharness.links import accepted
from chaosharness.links.link import proxy_name
from chaosharness.model.address import Address, LinkId
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Event
from chaosharness.model.gate import Hold, Point
from chaosharness.ports.launch import Evidence, Scope, Signal
from chaosharness.ports.plugin import Injection, Target

TAP = Address("127.0.0.1", 5000)
BEFORE = f"connect @{C}#1\ntuned @{C}#1 heartbeat_s=HEARTBEAT\nconnect @{E}#3\ndeliver k1 @{C}#1 settled=false\n"


@dataclass
class Story:
    """ports.plugin.Witness over events that are all there is to come; what happens after an act is `then`."""

    events: list[Event]
    waited: list[tuple[str, float]] = field(default_factory=list)

    def so_far(self) -> Sequence[Event]:
        return self.events

    def wait(self, what: str, timeout_s: float, match: Callable[[Event], bool], after: int = 0) -> Event | None:
        self.waited.append((what, timeout_s))
        return next((event for event in self.events[after:] if match(event)), None)

    def then(self, text: str) -> None:
        self.events += history(text).events


@dataclass
class Replica:
    """Notes what is asked of it, and says that it has done it."""

    name: str = "payment.0"
    asked: list[str] = field(default_factory=list)
    children: int = 0
    owners: tuple[int, ...] = (7,)
    parent: bool = False
    ends: bool = True
    up: bool = True
    on: dict[str, Callable[[], None]] = field(default_factory=dict)

    def _note(self, what: str) -> Evidence:
        self.asked.append(what)
        self.on.get(what, lambda: None)()
        return Evidence(True, what, {"pids": [1]})

    def signal(self, signal: Signal, scope: Scope = Scope.TREE) -> Evidence:
        if signal is Signal.KILL or (signal is Signal.TERM and self.ends):
            self.up = False
        return self._note(f"{signal} {scope}")

    def restart(self, keep_data: bool = True) -> Evidence:
        self.up = True
        return self._note("restart")

    def survivors(self) -> int:
        return self.children

    def alive(self) -> bool:
        return self.up

    def kill_owner(self, local: Address) -> Evidence:
        ok = len(self.owners) == 1 and not self.parent
        self.asked.append(f"kill_owner {local}")
        return Evidence(ok, "SIGKILL" if ok else "nobody", {"owners": list(self.owners), "parent": self.parent})


def target(replica: Replica | None, story: Story, at: str = E, **more: Any) -> Target:
    """All else that a fault may ask for is None, and must not be asked for."""
    conn = 1 if at == C else 3
    ticket = SimpleNamespace(
        hold=Hold("g", "k1", at, conn, Point.REQUEST),
        await_gone=lambda _: Evidence(True, "end of file", {"by": "client"}),
    )
    held = {
        "key": "k1",
        "ticket": ticket,
        "instance": replica,
        "others": (),
        "restarts": True,
        "stop_grace_s": 0.0,
        "link": SimpleNamespace(id=C, upstream=TAP),
        "held_link": SimpleNamespace(id=at, upstream=TAP),
        "witness": story,
        "sever": lambda: Evidence(True, "1 connections closed at the tap"),
        **more,
    }
    return Target(**cast(Any, {one.name: held.get(one.name) for one in fields(Target)}))


def injected(fault: Any, aimed: Target) -> Injection:
    with fault.inject(aimed) as injection:
        pass
    return cast(Injection, injection)


def story(heartbeat_s: int = 60) -> Story:
    return Story(list(history(BEFORE.replace("HEARTBEAT", str(heartbeat_s))).events))


# freeze


@pytest.mark.parametrize(("heartbeat_s", "within_s"), [(1, 4.0), (3, 8.0)])
def test_a_broker_that_hears_no_heartbeat_soon_is_waited_for(heartbeat_s: int, within_s: float) -> None:
    told = story(heartbeat_s)
    replica = Replica(on={"freeze tree": lambda: told.then(f"disconnect @{C}#1 by=server")})
    injection = injected(Freeze(), target(replica, told, sever=None))
    assert injection.evidence.ok
    assert injection.evidence.facts["closed_by"] == "server"
    assert injection.evidence.facts["heartbeat_s"] == heartbeat_s
    assert f"by the broker, after lost heartbeats of {heartbeat_s} s" in injection.evidence.what
    assert [waited for _, waited in told.waited] == [within_s]
    assert replica.asked == ["freeze tree", "thaw tree"]


@pytest.mark.parametrize("heartbeat_s", [0, 4, 60])
def test_on_behalf_of_one_that_would_wait_for_long_the_harness_acts(heartbeat_s: int) -> None:
    told = story(heartbeat_s)

    def sever() -> Evidence:
        told.then(f"disconnect @{C}#1 by=tap")
        return Evidence(True, "1 connections closed at the tap")

    injection = injected(Freeze(), target(Replica(), told, sever=sever))
    assert injection.evidence.ok
    assert injection.evidence.facts["closed_by"] == "tap"
    assert "by the harness, on behalf of a broker that hears no heartbeat" in injection.evidence.what
    assert len(told.waited) == 1


def test_one_that_acts_too_late_has_its_part_done_by_the_harness() -> None:
    told = story(1)

    def sever() -> Evidence:
        told.then(f"disconnect @{C}#1 by=tap")
        return Evidence(True, "1 connections closed at the tap")

    injection = injected(Freeze(), target(Replica(), told, sever=sever))
    assert injection.evidence.ok
    assert "1 s are agreed upon" in injection.evidence.what
    assert len(told.waited) == 2


def test_a_connection_that_does_not_close_is_no_evidence() -> None:
    told = story()
    replica = Replica(on={"freeze tree": lambda: told.then(f"disconnect @{D}#9 by=server\ndisconnect @{C}#8 by=tap")})
    injection = injected(Freeze(), target(replica, told))
    assert not injection.evidence.ok
    assert "did not close" in injection.evidence.what
    assert replica.asked == ["freeze tree", "thaw tree"]  # thawed all the same


@pytest.mark.parametrize(
    ("then", "over"),
    [
        (f"deliver k1 @{D}#11 redelivered=true", D),
        (f"deliver k2 @{D}#11 redelivered=true", None),
        (f"deliver k1 @{C}#4 redelivered=true", None),
        (f"deliver k1 @{D}#11 redelivered=true discarded=true", None),
    ],
)
def test_whom_the_message_was_handed_to_is_told(then: str, over: str | None) -> None:
    told = story(1)
    replica = Replica(on={"freeze tree": lambda: told.then(f"disconnect @{C}#1 by=server\n{then}")})
    injection = injected(Freeze(), target(replica, told, others=(Replica("payment.1"),)))
    assert injection.evidence.ok
    assert injection.evidence.facts["handed_over_to"] == over


def test_a_replica_is_thawed_whatever_happens() -> None:
    replica = Replica()
    with pytest.raises(HarnessBroke), Freeze().inject(target(replica, story())):
        raise HarnessBroke("something else")
    assert replica.asked == ["freeze tree", "thaw tree"]


# term, leave


def test_one_that_ends_in_time_is_not_killed() -> None:
    replica = Replica()
    injection = injected(Term(), target(replica, story()))
    assert replica.asked == ["term parent", "restart"]
    assert injection.healed
    assert (injection.healed.ok, injection.healed.facts["forced"]) == (True, False)


def test_one_that_does_not_end_is_killed_and_that_is_said() -> None:
    replica = Replica(ends=False)
    injection = injected(Term(), target(replica, story()))
    assert replica.asked == ["term parent", "kill tree", "restart"]
    assert injection.healed
    assert injection.healed.facts["forced"] is True
    assert "had not ended 0 s after SIGTERM: kill tree" in injection.healed.what


def test_one_without_a_supervisor_stays_down() -> None:
    replica = Replica()
    injection = injected(Term(), target(replica, story(), restarts=False))
    assert replica.asked == ["term parent"]
    assert injection.healed
    assert "restart = never" in injection.healed.what


def test_the_last_one_does_not_leave() -> None:
    replica = Replica()
    assert injected(Leave(), target(replica, story())).declined == ALONE
    assert replica.asked == []
    assert injected(Leave(), target(replica, story(), others=(Replica("payment.1"),))).declined is None


# crash-child, crash-parent


def logged(folder: Path, *clients: str) -> Path:
    name = proxy_name(LinkId.parse(E))
    said = '2026-11-23T22:00:00.000Z {{"name":"{}","upstream":"{}","client":"{}","message":"Accepted client"}}\n'
    log = folder / "toxiproxy.log"
    log.write_text("".join(said.format(name, TAP, client) for client in clients))
    return log


def test_whose_the_held_connection_is(tmp_path: Path) -> None:
    log = logged(tmp_path, "127.0.0.1:40001", "127.0.0.1:40002", "127.0.0.1:40003")
    told = Story(
        list(history(f"connect @{C}#1\nconnect @{E}#2\nconnect @{D}#9\nconnect @{E}#3\nconnect @{E}#4").events)
    )
    assert own_end(target(Replica(), told, toxiproxy_log=log)) == Address("127.0.0.1", 40002)


def test_a_child_is_killed_and_not_replaced_by_us(tmp_path: Path) -> None:
    replica = Replica(children=2)
    injection = injected(CrashChild(), target(replica, story(), toxiproxy_log=logged(tmp_path, "127.0.0.1:40001")))
    assert injection.evidence.ok
    assert replica.asked == ["kill_owner 127.0.0.1:40001"]
    assert injection.healed
    assert injection.healed.ok


@pytest.mark.parametrize(
    ("owners", "parent", "declined"), [((1,), True, NO_CHILD), ((1, 7), True, None), ((), False, None)]
)
def test_only_where_the_parent_alone_has_it_there_is_no_such_child(
    tmp_path: Path, owners: tuple[int, ...], parent: bool, declined: str | None
) -> None:
    replica = Replica(owners=owners, parent=parent)
    injection = injected(CrashChild(), target(replica, story(), toxiproxy_log=logged(tmp_path, "127.0.0.1:40001")))
    assert injection.declined == declined
    assert not injection.evidence.ok


def test_a_connection_of_which_toxiproxy_says_nothing_is_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted.client_of, "__defaults__", (0.0,))
    replica = Replica()
    injection = injected(CrashChild(), target(replica, story(), toxiproxy_log=logged(tmp_path)))
    assert not injection.evidence.ok
    assert "whose the held connection is cannot be told: waited 0 s for Toxiproxy" in injection.evidence.what
    assert replica.asked == []


def test_a_parent_without_children_leaves_no_orphans() -> None:
    replica = Replica()
    assert injected(CrashParent(), target(replica, story())).declined == NO_ORPHANS
    assert replica.asked == []


def test_the_next_ones_are_at_work_before_an_orphan_goes_on() -> None:
    told = story()
    begun = f"connect @{C}#4\nsubscribed @{C}#4 source=true\nconnect @{E}#5\neffect k2 @{E}#5 sink=effect effect=e1"
    replica = Replica(children=2, on={"restart": lambda: told.then(begun)})
    injection = injected(CrashParent(), target(replica, told))
    assert replica.asked == ["kill parent", "restart"]
    assert injection.evidence.ok
    assert injection.evidence.what.endswith("the next ones are at work beside them")


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        (
            f"connect @{C}#4\nsubscribed @{C}#4 source=true\neffect k2 @{E}#3",
            "the next ones have subscribed beside them",
        ),
        (f"connect @{D}#4\nsubscribed @{D}#4 source=true", "nobody subscribed within 5 s"),
    ],
)
def test_what_the_next_ones_had_not_done_by_then_is_said(begun: str, said: str) -> None:
    told = story()
    replica = Replica(children=2, on={"restart": lambda: told.then(begun)})
    assert said in injected(CrashParent(), target(replica, told)).evidence.what


# who is not there


@pytest.mark.parametrize("fault", [CrashChild(), CrashParent(), Term(), Leave(), Freeze()], ids=lambda f: f.id)
def test_the_harness_itself_is_not_broken(fault: Any) -> None:
    injection = injected(fault, target(None, story()))
    assert not injection.evidence.ok
    assert "the harness's own link" in injection.evidence.what


@pytest.mark.parametrize("ok", [True, False])
def test_a_newcomer_is_evidence_if_it_has_subscribed(ok: bool) -> None:
    joined = Evidence(ok, "payment.1 has joined")
    injection = injected(Join(), target(Replica(), story(), join=lambda: joined))
    assert injection.evidence is joined
    assert injection.healed
    assert injection.healed.ok
