"""Process events: in the ledger that is set, in the order in which things happened."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from keeper_rig import SOON_S, recipe, shell, wait_gone, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.ledger.reader import read
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Scope, Signal


def folder(tmp_path: Path, name: str) -> Path:
    made = tmp_path / name
    made.mkdir()
    return made


def events(where: Path) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of each, once the file is ended without a gap."""
    found, gaps = read(where / "keeper.ledger.jsonl")
    assert not gaps
    assert all(event.origin == "keeper" for event in found)
    return [(event.kind.value, dict(event.data)) for event in found if event.kind is not Kind.END]


def test_the_life_of_an_instance(keeper: KeeperClient, tmp_path: Path) -> None:
    where = folder(tmp_path, "ledger")
    keeper.record_to(where)
    [pid] = keeper.launch(recipe(tmp_path, "a", "sleep", "1000")).facts["pids"]
    assert keeper.signal("a", Signal.FREEZE).ok
    assert keeper.signal("a", Signal.KILL).ok
    [again] = keeper.restart("a").facts["pids"]
    assert keeper.stop("a", SOON_S).ok
    keeper.record_to(None)
    exit_of = {"instance": "a", "asked": True, "gone": True}
    assert events(where) == [
        ("started", {"instance": "a", "pid": pid, "incarnation": 1}),
        ("signalled", {"instance": "a", "signal": "freeze", "scope": "tree", "pids": [pid]}),
        ("signalled", {"instance": "a", "signal": "kill", "scope": "tree", "pids": [pid]}),
        ("exited", {**exit_of, "pid": pid, "incarnation": 1, "code": -9}),
        ("started", {"instance": "a", "pid": again, "incarnation": 2}),
        ("signalled", {"instance": "a", "signal": "term", "scope": "parent", "pids": [again]}),
        ("exited", {**exit_of, "pid": again, "incarnation": 2, "code": -15}),
    ]


def test_a_tree_is_gone_only_when_its_orphans_are(keeper: KeeperClient, tmp_path: Path) -> None:
    where = folder(tmp_path, "ledger")
    keeper.record_to(where)
    orphans = shell(tmp_path, "a", "sleep 1000 & echo up; wait")
    [pid] = keeper.launch(orphans).facts["pids"]
    wait_logged(orphans, "up")
    assert keeper.signal("a", Signal.KILL, Scope.PARENT).ok
    [orphan] = keeper.pids("a")
    assert keeper.signal("a", Signal.KILL).ok
    keeper.record_to(None)
    exit_of = {"instance": "a", "pid": pid, "incarnation": 1, "code": -9, "asked": True}
    assert events(where)[1:] == [
        ("signalled", {"instance": "a", "signal": "kill", "scope": "parent", "pids": [pid]}),
        ("exited", {**exit_of, "gone": False}),
        ("signalled", {"instance": "a", "signal": "kill", "scope": "tree", "pids": [orphan]}),
        ("exited", {**exit_of, "gone": True}),
    ]


@pytest.mark.parametrize("whom", ["command", "minder"])
def test_an_exit_that_nobody_asked_for(keeper: KeeperClient, tmp_path: Path, whom: str) -> None:
    where = folder(tmp_path, "ledger")
    keeper.record_to(where)
    [pid] = keeper.launch(recipe(tmp_path, "a", "sleep", "1000", restart="always")).facts["pids"]
    minder = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(pid if whom == "command" else minder, signal.SIGKILL)
    wait_gone(pid)
    wait_for("the next one", SOON_S, lambda: [row.incarnation for row in keeper.status()] == [2])
    killed = keeper.signal("a", Signal.KILL)
    assert killed.ok
    [again] = killed.facts["pids"]
    keeper.record_to(None)
    told = events(where)
    ended = {"instance": "a", "pid": pid, "incarnation": 1, "code": -9, "asked": False}
    # a killed minder's command is reaped by the keeper, which may see that it is gone after the next one is started
    exits = [("exited", {**ended, "gone": gone}) for gone in (False, True)]
    assert [event for event in told if event not in exits][:2] == [
        ("started", {"instance": "a", "pid": pid, "incarnation": 1}),
        ("started", {"instance": "a", "pid": again, "incarnation": 2}),
    ]
    assert told[1] in exits
    assert exits[1] in told


def test_each_ledger_gets_what_happens_in_its_time(keeper: KeeperClient, tmp_path: Path) -> None:
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    keeper.launch(recipe(tmp_path, "before", "sleep", "1000"))
    keeper.record_to(first)
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000"))
    keeper.record_to(second)
    assert keeper.stop("a", SOON_S).ok
    keeper.record_to(None)
    assert keeper.stop("before", SOON_S).ok
    assert [kind for kind, _ in events(first)] == ["started"]
    assert [kind for kind, _ in events(second)] == ["signalled", "exited"]


def test_the_end_of_the_keeper_ends_the_ledger_when_all_are_gone(tmp_path: Path) -> None:
    where = folder(tmp_path, "ledger")
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        keeper.record_to(where)
        keeper.launch(shell(tmp_path, "a", "sleep 1000 & wait"))
    assert events(where)[-1][0] == "exited"
    assert events(where)[-1][1]["gone"] is True


def test_a_ledger_that_cannot_be_written_is_told(keeper: KeeperClient, tmp_path: Path) -> None:
    with pytest.raises(HarnessBroke, match=r"record_to .*nowhere"):
        keeper.record_to(tmp_path / "nowhere")
    where = folder(tmp_path, "ledger")
    keeper.record_to(where)
    with pytest.raises(HarnessBroke, match=r"File exists|exists"):
        keeper.record_to(where)
