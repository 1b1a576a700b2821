"""The matrix: which scenarios a flow has, in which order, why the others are not, and which of them are picked."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from chaosharness.model.aim import Aim
from chaosharness.model.errors import BadInput, NotAvailableYet
from chaosharness.model.flow import Effect, Flow, Source
from chaosharness.model.gate import Point
from chaosharness.model.semantic import Promise
from chaosharness.model.window import Actor
from chaosharness.registry import Registry, check_only, select
from chaosharness.registry.cells import cells_of, pairs_of


def aim(window: str, *offers: str, **declined: str) -> Aim:
    reasons = {"*" if fault == "all" else fault.replace("_", "-"): why for fault, why in declined.items()}
    return Aim(window, Point.DELIVER, Actor.CONSUMER, "broker", offers, declined=reasons)


INSTALLED = ("crash", "cut", "ack-lost")


def row(*aims: Aim) -> list[tuple[str, str | None]]:
    return [(str(cell.id), cell.not_applicable) for cell in cells_of("f", aims, INSTALLED)]


def test_windows_in_the_catalogues_order() -> None:
    assert row(aim("effect-ack", "crash"), aim("own-window", "cut"), aim("stored", "crash", "cut")) == [
        ("f[stored:crash]", None),
        ("f[stored:cut]", None),
        ("f[effect-ack:crash]", None),
        ("f[own-window:cut]", None),
    ]


def test_reasons() -> None:
    assert row(
        aim("stored", "crash", "cut", cut="no wire"),
        aim("effect-ack", "crash", "freeze"),
        aim("publish-store", "cut", all="no producer"),
        aim("slow", all="no time-out"),
        aim("poison"),
        aim("ack-settle", ack_lost="auto-ack"),
    ) == [
        ("f[publish-store:cut]", "no producer"),
        ("f[stored:crash]", None),
        ("f[stored:cut]", "no wire"),
        ("f[effect-ack:crash]", None),
        ("f[effect-ack:freeze]", "fault freeze is not installed"),
        ("f[ack-settle:ack-lost]", "auto-ack"),
        ("f[slow:*]", "no time-out"),
        ("f[poison:*]", "no fault can be aimed here"),
    ]


def test_an_applicable_cell_goes_before_one_that_is_not() -> None:
    first, second = aim("stored", "crash", crash="not here"), aim("stored", "crash")
    assert [cell.aim for cell in cells_of("f", [first, second], INSTALLED)] == [second]
    assert [cell.aim for cell in cells_of("f", [second, first], INSTALLED)] == [second]


class Gives:
    """A broker or a sink that gives these windows."""

    redelivers = True

    def __init__(self, *aims: Aim) -> None:
        self._aims = aims

    def aims(self, *_: object) -> tuple[Aim, ...]:
        return self._aims


def test_a_flow_has_what_its_broker_and_its_first_sink_give(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([EntryPoint("crash", "x:y", "chaosharness.faults")])
    given = {"b": Gives(aim("effect-ack", "crash")), "one": Gives(aim("effect-response", "crash")), "two": Gives()}
    monkeypatch.setattr(registry, "get", lambda group, name: given[name])
    effects = (Effect("a", "one", ""), Effect("b", "two", ""))
    cells = registry.cells(Flow("f", Source("b", "q"), Promise(None), effects=effects))
    assert [str(cell.id) for cell in cells] == ["f[effect-response:crash]", "f[effect-ack:crash]"]
    assert [cell.not_applicable for cell in cells] == [None, None]


CELLS = cells_of("pay", [aim("effect-ack", "crash", "cut"), aim("stored", "crash")], INSTALLED)


@pytest.mark.parametrize(
    ("scenarios", "only", "picked"),
    [
        (["*"], [], ["pay[stored:crash]", "pay[effect-ack:crash]", "pay[effect-ack:cut]"]),
        (["*:crash"], [], ["pay[stored:crash]", "pay[effect-ack:crash]"]),
        (["*:crash", "effect-ack:*"], ["*cut?"], ["pay[effect-ack:cut]"]),
        (["*"], ["pay[*]"], ["pay[stored:crash]", "pay[effect-ack:crash]", "pay[effect-ack:cut]"]),
        (["*"], ["PAY[*]"], []),
        (["*"], ["pay[stored]", "effect-ack:crash"], []),
    ],
)
def test_select(scenarios: list[str], only: list[str], picked: list[str]) -> None:
    assert [str(cell.id) for cell in select(CELLS, scenarios, only)] == picked


IDS = [str(cell.id) for cell in CELLS]


def test_only_that_matches() -> None:
    check_only(["pay[*:crash]", "*cut]"], IDS)
    check_only([], [])


@pytest.mark.parametrize(
    ("glob", "error", "message"),
    [
        ("pay[effect-ack:crush]", BadInput, "matches no scenario; nearest: pay[effect-ack:crash]"),
        ("pya[stored:crash]", BadInput, "matches no scenario; nearest: pay[stored:crash]"),
        ("effect-ack", BadInput, "matches no scenario; an id has the form flow[window:fault]; nearest: "),
        ("pay[slow:*]", NotAvailableYet, "not available yet: the window slow"),
        ("*[slow:crash]", NotAvailableYet, "not available yet: the window slow"),
        ("pay[effect-ack:freeze]", NotAvailableYet, "not available yet: the fault freeze"),
        ("other[slow:crash]", BadInput, "matches no scenario"),
    ],
)
def test_only_that_matches_nothing(glob: str, error: type[BadInput], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_only(["pay[stored:crash]", glob], IDS)
    assert type(caught.value) is error
    assert str(caught.value).startswith(f"--only {glob}: {message}")


def test_only_where_there_is_nothing() -> None:
    with pytest.raises(BadInput, match=r"--only a\[b:c\]: matches no scenario; there are none"):
        check_only(["a[b:c]"], [])


def test_no_redelivery_is_due_where_the_broker_promises_none(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry([EntryPoint("crash", "x:y", "chaosharness.faults")])
    promising = replace(aim("effect-response", "crash"), redelivers=frozenset({"crash"}))
    for redelivers in (True, False):
        broker = Gives()
        broker.redelivers = redelivers
        given = {"b": broker, "one": Gives(promising)}
        monkeypatch.setattr(registry, "get", lambda group, name, given=given: given[name])
        flow = Flow("f", Source("b", "q"), Promise(None), effects=(Effect("a", "one", ""),))
        found = [cell.aim.redelivers for cell in registry.cells(flow) if cell.aim]
        assert found == [frozenset({"crash"}) if redelivers else frozenset()]


def pairs(globs: list[str], *aims: Aim) -> list[tuple[str, str | None]]:
    single = cells_of("f", aims, INSTALLED)
    return [(str(cell.id), cell.not_applicable) for cell in pairs_of(single, globs, lambda name: name != "ack-lost")]


def test_two_faults_in_one_scenario_are_asked_for_by_name() -> None:
    aims = aim("stored", "crash", "cut"), aim("effect-ack", "crash", "cut")
    assert pairs(["*", "effect-ack:*"], *aims) == []
    assert pairs(["effect-ack:crash+cut"], *aims) == [("f[effect-ack:crash+cut]", None)]
    assert pairs(["effect-ack:*+c*t"], *aims) == [("f[effect-ack:crash+cut]", None)]


def test_a_second_fault_may_be_another_windows() -> None:
    """Where its own has none of the name; one of a producer's windows acts upon another replica."""
    aims = aim("effect-ack", "crash"), aim("ack-settle", "ack-lost"), aim("stored", "cut")
    assert pairs(["ack-settle:ack-lost+cut"], *aims) == [("f[ack-settle:ack-lost+cut]", None)]
    of_producer = replace(aim("publish-store", "cut"), actor=Actor.PRODUCER)
    assert pairs(["ack-settle:ack-lost+cut"], aims[1], of_producer) == []


def test_what_the_gate_itself_does_comes_first() -> None:
    aims = aim("ack-settle", "ack-lost", "crash")
    [(_, why)] = pairs(["ack-settle:crash+ack-lost"], aims)
    assert why == "ack-lost is carried out by the gate itself, so it can only come first"
