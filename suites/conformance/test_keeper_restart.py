"""What comes back by itself, and what stays down until it is told."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

from keeper_rig import SOON_S, logged, recipe, shell, wait_gone, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Signal


def wait_incarnation(keeper: KeeperClient, name: str, number: int) -> int:
    """Its process id, once incarnation `number` runs."""

    def look() -> int | None:
        for row in keeper.status():
            if row.name == name and row.incarnation == number and row.pids:
                return row.pids[0]
        return None

    return wait_for(f"incarnation {number} of {name}", SOON_S, look, last_seen=keeper.status)


def test_a_crash_of_its_own_is_restarted_at_once_and_counted(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000", restart="always"))
    [first] = keeper.pids("a")
    os.kill(first, signal.SIGKILL)
    second = wait_incarnation(keeper, "a", 2)
    assert second != first
    assert keeper.exits("a") == (-signal.SIGKILL,)


def test_one_that_ends_again_and_again_is_restarted_with_a_growing_pause(keeper: KeeperClient, tmp_path: Path) -> None:
    failing = shell(tmp_path, "a", "date +%s%N; exit 3", restart="always")
    keeper.launch(failing)
    starts = wait_for("5 starts", SOON_S, lambda: s if len(s := logged(failing)) >= 5 else None)
    pauses = [(int(after) - int(before)) / 1e9 for before, after in itertools.pairwise(starts)]
    assert [pause > at_least for pause, at_least in zip(pauses, (0, 0.1, 0.2, 0.4), strict=False)] == [True] * 4
    assert set(keeper.exits("a")) == {3}
    # in the middle of a pause there is nothing to kill; it stays down all the same
    wait_for("a pause", SOON_S, lambda: not keeper.alive("a"))
    keeper.signal("a", Signal.KILL)
    count = len(logged(failing))
    assert keeper.restart("a").ok
    wait_for("the new start", SOON_S, lambda: len(logged(failing)) > count)
    assert keeper.stop("a", 1).ok


def test_never_means_never(keeper: KeeperClient, tmp_path: Path) -> None:
    ends = shell(tmp_path, "a", "echo once; exit 4")
    keeper.launch(ends)
    wait_for("its end", SOON_S, lambda: not keeper.alive("a"))
    assert keeper.exits("a") == (4,)
    assert keeper.restart("a").facts["incarnation"] == 2
    wait_for("its second end", SOON_S, lambda: keeper.exits("a") == (4, 4))


def test_after_a_kill_it_stays_down_until_restart_whatever_its_policy(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000", restart="always"))
    other = recipe(tmp_path, "other", "sleep", "1000", restart="always")
    keeper.launch(other)
    assert keeper.signal("a", Signal.KILL).ok
    # what would be restarted by policy is back by now: the other one, killed later, is
    os.kill(keeper.pids("other")[0], signal.SIGKILL)
    wait_incarnation(keeper, "other", 2)
    assert not keeper.alive("a")

    evidence = keeper.restart("a")
    assert evidence.ok
    assert evidence.facts["incarnation"] == 2
    assert keeper.exits("a") == ()
    # and its policy holds again
    os.kill(keeper.pids("a")[0], signal.SIGKILL)
    wait_incarnation(keeper, "a", 3)


def test_restart_of_one_that_is_up_is_refused(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000"))
    evidence = keeper.restart("a")
    assert not evidence.ok
    assert "up already" in evidence.what
    assert keeper.status()[0].incarnation == 1


def test_restart_after_stop_for_a_broker_that_goes_in_good_order(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000"))
    assert keeper.stop("a", 1).ok
    assert keeper.restart("a").ok
    assert keeper.alive("a")


def test_a_command_that_is_gone_at_its_restart_is_told(keeper: KeeperClient, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nsleep 1000\n")
    program.chmod(0o755)
    keeper.launch(recipe(tmp_path, "a", str(program)))
    assert keeper.signal("a", Signal.KILL).ok
    program.unlink()
    evidence = keeper.restart("a")
    assert not evidence.ok
    assert "No such file" in evidence.what


def test_the_supervisor_restarts_beside_orphans(keeper: KeeperClient, tmp_path: Path) -> None:
    parent = shell(tmp_path, "a", "sleep 1000 & echo up $$; wait", restart="always")
    keeper.launch(parent)
    [line] = wait_logged(parent, "up")
    main = int(line.split()[1])
    os.kill(main, signal.SIGKILL)
    wait_gone(main)
    wait_logged(parent, "up", times=2)
    both = wait_for("a shell and two sleeps", SOON_S, lambda: p if len(p := keeper.pids("a")) == 3 else None)
    assert keeper.signal("a", Signal.KILL).facts["pids"] == sorted(both)
    wait_gone(*both)
