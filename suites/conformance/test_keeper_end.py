"""Nothing outlives the harness, whichever process is killed and whoever holds what open."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from keeper_rig import SOON_S, lives, parent, recipe, shell, wait_gone, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Signal

SCATTERED = "setsid sleep 1000 & (setsid sleep 1000 &); echo up; wait"

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
}

HARNESS = """
import json, os, signal, sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient
from keeper_rig import python, shell, wait_logged

folder = Path(sys.argv[1])
keeper = KeeperClient.start(folder / "keeper")
(folder / "temporary" / "deep").mkdir(parents=True)
keeper.remove_on_end(folder / "temporary")
tree = shell(folder, "tree", sys.argv[2], restart="always")
keeper.launch(tree)
listener = python(folder, "listener", '''
import os, signal, socket
server = socket.create_server(("127.0.0.1", 0))
if os.fork() == 0:
    os.setsid()
    print("port", server.getsockname()[1])
while True: signal.pause()
''')
keeper.launch(listener)
wait_logged(tree, "up")
port = int(wait_logged(listener, "port")[0].split()[1])
copy = os.fork() if sys.argv[3] == "forked" else 0
if copy or sys.argv[3] != "forked":
    told = {"keeper": keeper.pid, "pids": keeper.pids("tree") + keeper.pids("listener"), "port": port, "copy": copy}
    print(json.dumps(told), flush=True)
while True: signal.pause()
"""


@contextmanager
def harness(folder: Path, how: str = "alone") -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A harness as a process of its own, which can be killed, and what it has running."""
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(folder), SCATTERED, how],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        try:
            assert process.stdout
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def assert_all_ends(folder: Path, told: dict[str, Any]) -> None:
    wait_gone(told["keeper"], *told["pids"])
    assert is_free(told["port"])
    assert not (folder / "temporary").exists()


def test_sigkill_of_the_harness_ends_everything(tmp_path: Path) -> None:
    with harness(tmp_path) as (process, told):
        assert len(told["pids"]) == 5
        assert not is_free(told["port"])
        assert (tmp_path / "temporary").exists()
        process.kill()
        assert_all_ends(tmp_path, told)


def test_a_harness_that_leaves_without_a_word_ends_everything(tmp_path: Path) -> None:
    with harness(tmp_path) as (process, told):
        process.send_signal(signal.SIGTERM)
        assert_all_ends(tmp_path, told)


def test_a_forked_copy_of_the_harness_that_lives_on_does_not_keep_it(tmp_path: Path) -> None:
    with harness(tmp_path, "forked") as (process, told):
        try:
            process.kill()
            assert_all_ends(tmp_path, told)
            assert lives(told["copy"])
        finally:
            os.kill(told["copy"], signal.SIGKILL)


def test_sigkill_of_keeper_and_harness_together_ends_everything(tmp_path: Path) -> None:
    with harness(tmp_path) as (process, told):
        process.send_signal(signal.SIGSTOP)  # so that it can do nothing in between
        os.kill(told["keeper"], signal.SIGKILL)
        process.kill()
        wait_gone(told["keeper"], *told["pids"])


def test_close_ends_everything_and_removes_the_folders(tmp_path: Path) -> None:
    keeper = KeeperClient.start(tmp_path / "keeper")
    (tmp_path / "temporary" / "deep").mkdir(parents=True)
    keeper.remove_on_end(tmp_path / "temporary")
    tree = shell(tmp_path, "tree", SCATTERED, restart="always")
    keeper.launch(tree)
    wait_logged(tree, "up")
    pids = keeper.pids("tree")
    assert len(pids) == 3
    keeper.close()
    assert not [pid for pid in (keeper.pid, *pids) if lives(pid)]
    assert not (tmp_path / "temporary").exists()
    keeper.close()
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.alive("tree")


def test_close_ends_what_is_frozen_and_what_ignores_signals(tmp_path: Path) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        for name in ("frozen", "deaf"):
            deaf = shell(tmp_path, name, "trap '' TERM INT HUP; echo up; while :; do sleep 0.01; done")
            keeper.launch(deaf)
            wait_logged(deaf, "up")
        assert keeper.signal("frozen", Signal.FREEZE).ok
        pids = keeper.pids("frozen") + keeper.pids("deaf")
    assert not [pid for pid in pids if lives(pid)]


def test_sigkill_of_the_keeper_ends_every_tree_and_is_told(tmp_path: Path) -> None:
    keeper = KeeperClient.start(tmp_path / "keeper")
    (tmp_path / "temporary").mkdir()
    keeper.remove_on_end(tmp_path / "temporary")
    tree = shell(tmp_path, "tree", SCATTERED, restart="always")
    keeper.launch(tree)
    wait_logged(tree, "up")
    pids = keeper.pids("tree")
    minder = parent(next(pid for pid in pids if parent(parent(pid)) == keeper.pid))
    os.kill(keeper.pid, signal.SIGKILL)
    wait_gone(minder, *pids)
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.alive("tree")
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.close()
    keeper.close()
    assert not (tmp_path / "temporary").exists()


def test_sigterm_ends_the_keeper_and_all_and_sigint_does_not(tmp_path: Path) -> None:
    keeper = KeeperClient.start(tmp_path / "keeper")
    keeper.launch(recipe(tmp_path, "a", "sleep", "1000"))
    pids = keeper.pids("a")
    os.kill(keeper.pid, signal.SIGINT)
    assert keeper.alive("a")
    assert os.getsid(keeper.pid) == keeper.pid
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid, *pids)
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.close()


def test_an_error_in_the_with_block_is_not_hidden_by_a_dead_keeper(tmp_path: Path) -> None:
    def use() -> None:
        with KeeperClient.start(tmp_path) as keeper:
            os.kill(keeper.pid, signal.SIGKILL)
            wait_gone(keeper.pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()


def test_a_call_that_waits_is_told_when_the_keeper_dies(tmp_path: Path) -> None:
    keeper = KeeperClient.start(tmp_path / "keeper")
    deaf = shell(tmp_path, "a", "trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done")
    keeper.launch(deaf)
    wait_logged(deaf, "up")
    script = f"until grep -q heard {deaf.log}; do sleep 0.01; done; kill -9 {keeper.pid}"
    with subprocess.Popen(["sh", "-c", script]), pytest.raises(HarnessBroke, match="asked to stop"):
        keeper.stop("a", SOON_S)
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.close()


def test_sigkill_of_a_minder_ends_its_tree_and_no_other(tmp_path: Path) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        tree = shell(tmp_path, "tree", SCATTERED, restart="always")
        keeper.launch(recipe(tmp_path, "other", "sleep", "1000"))
        main = keeper.launch(tree).facts["pids"][0]
        wait_logged(tree, "up")
        pids, other = keeper.pids("tree"), keeper.pids("other")
        os.kill(parent(main), signal.SIGKILL)
        wait_gone(*pids)
        assert keeper.pids("other") == other
        # its exit was asked for by nobody in the harness: it comes back
        wait_for("the exit", SOON_S, lambda: keeper.exits("tree") == (-signal.SIGKILL,))
        wait_logged(tree, "up", times=2)
        assert keeper.signal("tree", Signal.KILL).ok
        assert not keeper.alive("tree")


def test_a_kill_reaches_a_tree_whose_minder_was_killed(tmp_path: Path) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        main = keeper.launch(shell(tmp_path, "tree", SCATTERED)).facts["pids"][0]
        os.kill(parent(main), signal.SIGKILL)
        keeper.signal("tree", Signal.KILL)
        assert not keeper.alive("tree")
        assert not lives(main)


def test_a_harness_that_is_killed_in_the_middle_of_a_stop(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom chaosharness.keeper.client import KeeperClient\n"
        "from keeper_rig import shell, wait_logged\n"
        "keeper = KeeperClient.start(Path(sys.argv[1]) / 'keeper')\n"
        "deaf = shell(Path(sys.argv[1]), 'a', \"trap 'echo heard' TERM; echo up; while :; do sleep 0.01; done\")\n"
        "keeper.launch(deaf)\n"
        "wait_logged(deaf, 'up')\n"
        "print(keeper.pid, *keeper.pids('a'), flush=True)\n"
        "keeper.stop('a', 60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    ) as process:
        assert process.stdout
        pids = [int(word) for word in process.stdout.readline().split()]
        wait_logged(shell(tmp_path, "a", ""), "heard")
        process.kill()
    wait_gone(*pids)


def test_a_keeper_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    with pytest.raises(HarnessBroke, match=r"asked to start.*keeper\.log ends with:\nno such module"):
        KeeperClient.start(tmp_path / "keeper")
