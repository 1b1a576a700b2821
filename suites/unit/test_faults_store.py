"""What the faults of a store decide from what has been recorded: literal histories, no store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from histories import history
from spine import C, E
from spine_store import BOUNDED, D, S, record
from test_faults_process import Replica, Story, injected, target

from chaosharness.faults import store_restart
from chaosharness.faults.expire import Expire
from chaosharness.faults.freeze import Freeze
from chaosharness.faults.second import AT_WORK_WITHIN_S
from chaosharness.faults.store_restart import StoreRestart
from chaosharness.faults.unreachable import Unreachable
from chaosharness.faults.wipe import Wipe
from chaosharness.model.address import Address
from chaosharness.model.flow import StoreUse
from chaosharness.model.gate import Hold, Point
from chaosharness.ports.launch import Evidence
from chaosharness.ports.plugin import Release, StoreTarget, Target

ALL = [Wipe(), StoreRestart(), Unreachable(), Expire()]
R = "payment.1>store.dedup.0"


@dataclass
class Kept:
    """ports.plugin.Store: notes what is asked of it."""

    expired: tuple[str, ...] = ("done:k1",)
    asked: list[str] = field(default_factory=list)

    def wipe(self, server: Any, namespace: Any) -> Evidence:
        self.asked.append("wipe")
        return Evidence(True, "19 before, 0 after")

    def expire(self, server: Any, namespace: Any, key: str, within_s: float) -> Evidence:
        self.asked.append(f"expire {key} {within_s:g}")
        return Evidence(bool(self.expired), "looked", {"expired": list(self.expired)})


@dataclass
class Way:
    """ports.plugin.ToxicLink."""

    id: str
    on: list[str]
    listen = Address("127.0.0.1", 1)

    @contextmanager
    def apply(self, *toxics: Mapping[str, Any]) -> Iterator[Evidence]:
        self.on.append(self.id)
        yield Evidence(True, f"{self.id}: {len(toxics)} toxics", {"link": self.id})
        self.on.remove(self.id)


@dataclass
class Bench:
    """A target with a store, and what was done to it, in order."""

    told: Story
    kept: Kept = field(default_factory=Kept)
    server: Replica = field(default_factory=lambda: Replica("store.0"))
    done: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    def target(self, at: str = C, **more: Any) -> Target:
        def note(what: str) -> Evidence:
            self.done.append(what)
            return Evidence(True, what)

        store = StoreTarget(
            StoreUse("dedup", "any"),
            self.kept,  # type: ignore[arg-type]
            self.server,  # type: ignore[arg-type]
            lambda: self.done.append("ready"),
            None,  # type: ignore[arg-type]
            Way(S, self.cut),  # type: ignore[arg-type]
            [Way(R, self.cut)],  # type: ignore[list-item]
        )
        held = {"store": store, "promise": BOUNDED, "sever": lambda: note("sever"), **more}
        ticket = SimpleNamespace(
            hold=Hold("g", "k1", at, 1 if at == C else 3, Point.SETTLE), discard=lambda: note("discard")
        )
        return replace(target(None, self.told, at, **held), ticket=ticket)


def bench(text: str = record(), **more: Any) -> Bench:
    return Bench(Story(list(history(f"deliver k1 @{C}#1 settled=false\n{text}").events)), **more)


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.id)
def test_nothing_is_done_to_a_store_in_which_nothing_names_the_message(fault: Any) -> None:
    for text in ("", record().replace("k1", "k2"), record().replace("store=dedup", "store=other")):
        there = bench(text)
        injection = injected(fault, there.target())
        assert "nothing there could be missed" in (injection.declined or "")
        assert (there.kept.asked, there.server.asked, there.done, there.cut) == ([], [], [], [])


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.id)
def test_a_flow_without_a_store(fault: Any) -> None:
    assert injected(fault, bench().target(store=None)).declined == "the flow declares no store"


def test_a_record_that_never_went_on_is_none() -> None:
    there = bench(record().replace("command=SET", "command=SET discarded=true"))
    assert injected(Wipe(), there.target()).declined


@pytest.mark.parametrize("fault", [Wipe(), StoreRestart(), Unreachable()], ids=lambda fault: fault.id)
def test_the_message_is_handed_over_again_afterwards(fault: Any) -> None:
    assert fault.release is Release.SEVER


def test_wipe() -> None:
    there = bench()
    injection = injected(Wipe(), there.target())
    assert (injection.evidence.ok, injection.healed and injection.healed.ok) == (True, True)
    assert there.kept.asked == ["wipe"]


def test_restart() -> None:
    there = bench()
    injection = injected(StoreRestart(), there.target())
    assert there.server.asked == ["term parent", "restart"]
    assert there.done == ["ready"]
    assert injection.evidence.ok
    assert injection.healed
    assert injection.healed.ok


def test_a_store_that_does_not_end_is_no_restart_in_good_order_and_is_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_restart, "ENDS_WITHIN_S", 0.05)
    there = bench(server=Replica("store.0", ends=False))
    injection = injected(StoreRestart(), there.target())
    assert there.server.asked == ["term parent", "kill tree", "restart"]
    assert not injection.evidence.ok
    assert "store.0 to end after SIGTERM" in injection.evidence.what


def test_unreachable_on_every_replicas_link_until_the_message_has_come_and_something_of_it() -> None:
    there = bench()
    with Unreachable().inject(there.target()) as injection:
        assert there.cut == [S, R]
        assert injection.evidence.facts["link"] == S
        there.told.then(f"deliver k1 @{D}#11 redelivered=true settled=false\nsettle k1 @{D}#11 how=nack requeue=true")
    assert there.cut == []
    assert injection.healed
    assert injection.healed.what.endswith("k1 was handed over again, and then: settle")


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("", "was not handed over again"),
        (f"deliver k1 @{D}#11 discarded=true", "was not handed over again"),
        (f"deliver k1 @{D}#11 settled=false", "and nothing had come of it"),
    ],
)
def test_unreachable_says_what_it_did_not_see(then: str, said: str) -> None:
    there = bench()
    with Unreachable().inject(there.target()) as injection:
        there.told.then(then)
    assert injection.healed
    assert said in injection.healed.what


def test_a_replica_that_never_names_the_store_cannot_be_cut_off_from_it() -> None:
    aimed = bench().target()
    assert aimed.store
    without = replace(aimed, store=replace(aimed.store, link=None))
    assert "has no link to the store dedup" in (injected(Unreachable(), without).declined or "")


def test_a_held_ack_is_thrown_away_when_the_entry_has_expired() -> None:
    there = bench()
    injection = injected(Expire(), there.target())
    assert injection.declined is None
    assert there.kept.asked == ["expire k1 3600"]
    assert there.done == ["discard", "sever"]
    assert injection.evidence.facts["at_work"] is False


def test_a_held_request_goes_on_when_a_second_consumer_has_worked() -> None:
    there = bench()

    def sever() -> Evidence:
        there.told.then(f"deliver k1 @{D}#11 settled=false")
        return Evidence(True, "cut")

    aimed = there.target(E, sever=sever)
    injection = injected(Expire(), aimed)
    assert there.done == []
    assert f"was handed over on {D} while" in injection.evidence.what
    assert there.told.waited[-1] == ("a second consumer to work on k1", AT_WORK_WITHIN_S)
    alone = injected(Expire(), bench().target(E))
    assert "goes on before the message is handed over again" in alone.evidence.what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (record(ttl_s="null"), "(done:k1: for ever)"),
        (record(ttl_s="3600"), "(done:k1: 3600 s)"),
        (record(ttl_s="3") + record(ttl_s="7200"), "(done:k1: 7200 s)"),
        (record(ttl_s="7200") + record(ttl_s="3", ok="false"), "(done:k1: 7200 s)"),
        (record(ttl_s="7200") + record(ttl_s="null").replace("done:", "note:"), "(done:k1: 7200 s, note:k1: for ever)"),
    ],
)
def test_what_outlives_every_retry_does_not_expire(text: str, said: str) -> None:
    there = bench(text)
    injection = injected(Expire(), there.target())
    assert injection.declined
    assert injection.declined.endswith(f"is shorter than redeliver_within_s = 3600 {said}")
    assert there.kept.asked == there.done == []


@pytest.mark.parametrize(
    "text",
    [
        record(ttl_s="3") + record(ttl_s="null").replace("done:", "note:"),
        record().replace(" ttl_s=60", ""),
        record(ttl_s="null") + "record k1 @s.0>store.dedup.0#7 store=dedup command=EVAL fresh_only=false",
    ],
)
def test_one_that_may_end_in_time_is_for_the_store_to_tell(text: str) -> None:
    there = bench(text, kept=Kept(expired=()))
    injection = injected(Expire(), there.target())
    assert injection.declined == "looked"
    assert there.kept.asked == ["expire k1 3600"]
    assert there.done == []


def test_a_frozen_replica_comes_back_when_another_has_done_its_message() -> None:
    told = Story(list(history(f"deliver k1 @{C}#1 settled=false").events))
    replica = Replica(
        on={"freeze tree": lambda: told.then(f"disconnect @{C}#1 by=tap\ndeliver k1 @{D}#11 settled=false")}
    )
    injected(Freeze(), target(replica, told, E, others=(Replica("payment.1"),)))
    assert told.waited[-1] == ("a second consumer to work on k1", AT_WORK_WITHIN_S)
    injected(Freeze(), target(replica, told, C, others=(Replica("payment.1"),)))
    assert told.waited[-1][0] == "k1 to be handed to another replica", "at a held ack nobody waits for the other's work"
