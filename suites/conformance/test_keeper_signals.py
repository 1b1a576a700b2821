"""Signals do what their evidence says: looked at from outside."""

from __future__ import annotations

import os
import select
import threading
from pathlib import Path

from keeper_rig import SOON_S, close, comm, lives, parent, python, recipe, shell, wait_gone, wait_logged

from chaosharness.keeper import tree
from chaosharness.keeper.client import KeeperClient
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Scope, Signal

SCATTERED = "setsid sleep 1000 & (setsid sh -c 'sleep 1000; :' &); sleep 1000 & echo up; wait"
"""A child in another session, a double fork in another session with a child of its own, a plain child."""


def wait_pids(keeper: KeeperClient, name: str, names: list[str]) -> dict[str, list[int]]:
    """Waits until the instance's processes have these names; the ids by name."""

    def look() -> dict[str, list[int]] | None:
        found: dict[str, list[int]] = {}
        for pid in keeper.pids(name):
            try:
                found.setdefault(comm(pid), []).append(pid)
            except (FileNotFoundError, ProcessLookupError):
                return None
        return found if sorted(n for n, pids in found.items() for _ in pids) == sorted(names) else None

    return wait_for(f"{names} in {name}", SOON_S, look, last_seen=lambda: keeper.pids(name))


def main_of(keeper: KeeperClient, name: str) -> int:
    """The command's own process: a child of its minder, itself a child of the keeper."""
    [main] = [pid for pid in keeper.pids(name) if parent(parent(pid)) == keeper.pid and os.getsid(pid) == pid]
    return main


def test_a_kill_of_the_tree_misses_no_session_and_no_double_fork(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", SCATTERED))
    pids = wait_pids(keeper, "a", ["sh", "sh", "sleep", "sleep", "sleep"])
    evidence = keeper.signal("a", Signal.KILL)
    assert evidence.ok, evidence
    assert evidence.facts["pids"] == sorted(pids["sh"] + pids["sleep"])
    assert not [pid for pid in evidence.facts["pids"] if tree.look(pid)]
    assert not keeper.alive("a")
    assert keeper.exits("a") == ()


def test_a_kill_that_found_nothing_is_no_evidence(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", "exit 0"))
    wait_for("its end", SOON_S, lambda: not keeper.alive("a"))
    for signal in Signal:
        for scope in Scope:
            evidence = keeper.signal("a", signal, scope)
            assert not evidence.ok, evidence
            assert "no process" in evidence.what


def test_a_tree_that_forks_all_the_time_is_killed_and_frozen(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", "while :; do (sleep 0.3 &); sleep 0.01; echo on; done"))
    assert keeper.signal("a", Signal.FREEZE).ok
    frozen = keeper.pids("a")
    assert all(tree.stopped(pid) for pid in frozen)
    assert keeper.pids("a") == frozen
    assert keeper.signal("a", Signal.THAW).ok
    evidence = keeper.signal("a", Signal.KILL)
    assert evidence.ok, evidence
    assert keeper.pids("a") == ()


def test_a_kill_of_the_parent_leaves_its_children(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", "sleep 1000 & sleep 1000 & wait"))
    pids = wait_pids(keeper, "a", ["sh", "sleep", "sleep"])
    evidence = keeper.signal("a", Signal.KILL, Scope.PARENT)
    assert evidence.ok
    assert list(evidence.facts["pids"]) == pids["sh"]
    assert not lives(pids["sh"][0])
    assert keeper.alive("a")
    assert sorted(keeper.pids("a")) == sorted(pids["sleep"])
    # the supervisor starts the next one beside the orphans; the tree is both
    assert keeper.restart("a").ok
    both = wait_pids(keeper, "a", ["sh", "sleep", "sleep", "sleep", "sleep"])
    assert keeper.signal("a", Signal.KILL).facts["pids"] == sorted(both["sh"] + both["sleep"])


def test_a_kill_of_the_children_spares_the_parent_and_the_workers_that_it_starts(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    pool = python(
        tmp_path,
        "pool",
        "import os, signal\n"
        "def worker():\n"
        "    if os.fork() == 0:\n"
        "        os.write(1, b'worker\\n')\n"
        "        while True: signal.pause()\n"
        "worker(); worker()\n"
        "while True:\n"
        "    os.wait()\n"
        "    worker()\n",
    )
    keeper.launch(pool)
    wait_logged(pool, "worker", times=2)
    main = main_of(keeper, "pool")
    first = set(keeper.pids("pool")) - {main}
    assert len(first) == 2
    evidence = keeper.signal("pool", Signal.KILL, Scope.CHILD)
    assert evidence.ok, evidence
    assert set(evidence.facts["pids"]) == first
    assert not any(lives(pid) for pid in first)
    wait_logged(pool, "worker", times=4)
    now = wait_for("two new workers", SOON_S, lambda: p if len(p := keeper.pids("pool")) == 3 else None)
    assert main in now
    assert not first & set(now)


def test_a_frozen_tree_does_nothing_until_it_is_thawed(keeper: KeeperClient, tmp_path: Path) -> None:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    keeper.launch(recipe(tmp_path, "a", "sh", "-c", "sleep 1000 & cat", stdio=(theirs_in, theirs_out)))
    close(theirs_in, theirs_out)
    pids = wait_pids(keeper, "a", ["cat", "sh", "sleep"])

    evidence = keeper.signal("a", Signal.FREEZE)
    assert evidence.ok, evidence
    assert evidence.facts["pids"] == sorted(pids["cat"] + pids["sh"] + pids["sleep"])
    os.write(ours_out, b"x")
    assert select.select([ours_in], [], [], 0.1)[0] == []

    assert keeper.signal("a", Signal.THAW).ok
    assert select.select([ours_in], [], [], SOON_S)[0] == [ours_in]
    assert os.read(ours_in, 10) == b"x"
    close(ours_in, ours_out)


def test_every_thread_is_frozen(keeper: KeeperClient, tmp_path: Path) -> None:
    threads = python(
        tmp_path,
        "threads",
        "import threading\n"
        "def spin():\n"
        "    while True: sum(range(1000))\n"
        "for _ in range(4): threading.Thread(target=spin).start()\n"
        "print('up')\n",
    )
    keeper.launch(threads)
    wait_logged(threads, "up")
    [pid] = keeper.pids("threads")
    assert keeper.signal("threads", Signal.FREEZE).ok
    assert list(tree.thread_states(pid)) == ["T"] * 5
    assert keeper.signal("threads", Signal.THAW).ok
    assert "T" not in list(tree.thread_states(pid))


def test_one_that_waits_for_a_vfork_is_frozen(keeper: KeeperClient, tmp_path: Path) -> None:
    # it is in a state that no signal stops for as long as its child, which is stopped, has not run its exec
    spawner = python(
        tmp_path,
        "spawner",
        "import os\nprint('up')\nwhile True: os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)\n",
    )
    keeper.launch(spawner)
    wait_logged(spawner, "up")
    for _ in range(30):
        evidence = keeper.signal("spawner", Signal.FREEZE)
        assert evidence.ok, evidence
        assert all(tree.stopped(pid) for pid in keeper.pids("spawner"))
        assert keeper.signal("spawner", Signal.THAW).ok


def test_scopes_of_a_freeze(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", "sleep 1000 & wait"))
    pids = wait_pids(keeper, "a", ["sh", "sleep"])
    assert keeper.signal("a", Signal.FREEZE, Scope.CHILD).ok
    assert (tree.stopped(pids["sleep"][0]), tree.stopped(pids["sh"][0])) == (True, False)
    assert keeper.signal("a", Signal.THAW, Scope.CHILD).ok
    assert keeper.signal("a", Signal.FREEZE, Scope.PARENT).ok
    assert (tree.stopped(pids["sleep"][0]), tree.stopped(pids["sh"][0])) == (False, True)


def test_a_frozen_tree_can_be_killed(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "a", SCATTERED))
    wait_pids(keeper, "a", ["sh", "sh", "sleep", "sleep", "sleep"])
    assert keeper.signal("a", Signal.FREEZE).ok
    assert keeper.signal("a", Signal.KILL).ok
    assert not keeper.alive("a")


def test_term_is_sent_to_its_scope_and_keeps_the_instance_down(keeper: KeeperClient, tmp_path: Path) -> None:
    traps = shell(tmp_path, "a", "trap 'echo caught; exit 7' TERM; sleep 1000 & echo up; wait", restart="always")
    keeper.launch(traps)
    wait_logged(traps, "up")
    main = main_of(keeper, "a")
    evidence = keeper.signal("a", Signal.TERM, Scope.PARENT)
    assert evidence.ok
    assert evidence.facts["pids"] == [main]
    wait_logged(traps, "caught")
    wait_gone(main)
    assert keeper.exits("a") == ()
    wait_pids(keeper, "a", ["sleep"])


def test_stop_in_good_order(keeper: KeeperClient, tmp_path: Path) -> None:
    polite = shell(tmp_path, "a", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    keeper.launch(polite)
    wait_logged(polite, "up")
    evidence = keeper.stop("a", SOON_S)
    assert evidence.ok, evidence
    assert (evidence.facts["forced"], evidence.facts["codes"]) == (False, [0])
    assert wait_logged(polite, "bye")
    assert keeper.exits("a") == ()


def test_stop_kills_one_that_ignores_sigterm_when_its_grace_is_over(keeper: KeeperClient, tmp_path: Path) -> None:
    deaf = shell(tmp_path, "a", "trap '' TERM; echo up; while :; do sleep 0.01; done", restart="always")
    keeper.launch(deaf)
    wait_logged(deaf, "up")
    evidence = keeper.stop("a", 0.3)
    assert evidence.ok, evidence
    assert (evidence.facts["forced"], evidence.facts["codes"]) == (True, [-9])
    assert evidence.facts["took_ms"] >= 300
    assert keeper.status() == ()


def test_stop_thaws_so_that_sigterm_can_be_obeyed(keeper: KeeperClient, tmp_path: Path) -> None:
    polite = shell(tmp_path, "a", "trap 'exit 5' TERM; echo up; while :; do sleep 0.01; done")
    keeper.launch(polite)
    wait_logged(polite, "up")
    assert keeper.signal("a", Signal.FREEZE).ok
    evidence = keeper.stop("a", SOON_S)
    assert (evidence.ok, evidence.facts["forced"], evidence.facts["codes"]) == (True, False, [5])


def test_stop_of_what_does_not_run_is_fine_and_says_so(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(recipe(tmp_path, "a", "true"))
    wait_for("its end", SOON_S, lambda: not keeper.alive("a"))
    evidence = keeper.stop("a", SOON_S)
    assert evidence.ok
    assert "was not running" in evidence.what


def test_a_long_stop_does_not_keep_the_keeper_from_others(keeper: KeeperClient, tmp_path: Path) -> None:
    deaf = shell(tmp_path, "deaf", "trap '' TERM; echo up; while :; do sleep 0.01; done")
    keeper.launch(deaf)
    wait_logged(deaf, "up")
    stopping = threading.Thread(target=keeper.stop, args=("deaf", 3.0))
    stopping.start()
    keeper.launch(recipe(tmp_path, "other", "sleep", "1000"))
    assert keeper.signal("other", Signal.KILL).ok
    assert keeper.alive("deaf")
    # and a kill comes before the grace is over
    assert keeper.signal("deaf", Signal.KILL).ok
    stopping.join(SOON_S)
    assert not stopping.is_alive()
