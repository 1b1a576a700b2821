"""What a launched command gets: exactly what its recipe says, and nothing of the harness's."""

from __future__ import annotations

import os
import select
from dataclasses import replace
from pathlib import Path

import pytest
from keeper_rig import PATH, SOON_S, close, comm, logged, python, recipe, shell, wait_gone, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.model.errors import BadInput, HarnessBroke
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Signal


def run(keeper: KeeperClient, tmp_path: Path, *argv: str) -> list[str]:
    ran = recipe(tmp_path, "ran", *argv)
    keeper.launch(ran)
    wait_for("its end", SOON_S, lambda: not keeper.alive("ran"))
    return logged(ran)


def test_a_launch_tells_the_process_id(keeper: KeeperClient, tmp_path: Path) -> None:
    evidence = keeper.launch(recipe(tmp_path, "a", "sleep", "1000"))
    assert evidence.ok
    [pid] = evidence.facts["pids"]
    # the exec has succeeded; the kernel changes the name a moment later
    wait_for("the command's name", SOON_S, lambda: comm(pid) == "sleep")
    assert keeper.pids("a") == (pid,)
    assert [(row.name, row.incarnation, row.pids) for row in keeper.status()] == [("a", 1, (pid,))]


def test_a_command_that_is_not_there_is_bad_input_that_names_it(keeper: KeeperClient, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no-such-command.*No such file"):
        keeper.launch(recipe(tmp_path, "a", "no-such-command"))
    assert keeper.status() == ()
    keeper.launch(recipe(tmp_path, "a", "true"))  # the name is free


def test_a_command_that_may_not_be_run_says_so(keeper: KeeperClient, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    with pytest.raises(BadInput, match=r"plain.*Permission denied"):
        keeper.launch(recipe(tmp_path, "a", "./plain"))


def test_a_folder_that_is_not_there_is_bad_input(keeper: KeeperClient, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"working folder is not there: .*nowhere"):
        keeper.launch(recipe(tmp_path / "nowhere", "a", "true"))


def test_the_environment_is_the_recipe_s(keeper: KeeperClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_HARNESS", "1")
    asked = replace(recipe(tmp_path, "ran", "env"), env={"PATH": PATH, "UMLAUT": "ä", "TWO": "lines\nhere"})
    keeper.launch(asked)
    wait_for("its end", SOON_S, lambda: not keeper.alive("ran"))
    assert sorted(logged(asked)) == ["PATH=" + PATH, "TWO=lines", "UMLAUT=ä", "here"]


def test_it_inherits_no_file_no_handler_no_mask_no_session(keeper: KeeperClient, tmp_path: Path) -> None:
    for other in "bcd":
        keeper.launch(recipe(tmp_path, other, "sleep", "1000"))
    code = (
        "import os\n"
        "for fd in range(64):\n"
        "    try: print('fd', fd, os.readlink(f'/proc/self/fd/{fd}').split(':')[0])\n"
        "    except OSError: pass\n"
        "print('leads', os.getsid(0) == os.getpid() == os.getpgid(0))\n"
        "print('folder', os.getcwd())\n"
    )
    looked = python(tmp_path, "looked", code)
    keeper.launch(looked)
    lines = wait_logged(looked, "folder")
    assert lines == ["fd 0 /dev/null", "fd 1 pipe", "fd 2 pipe", "leads True", f"folder {tmp_path}"]
    status = run(keeper, tmp_path, "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status")
    blocked, ignored = (int(line.split()[1], 16) for line in status)
    glibc_s_own = 1 << 31 | 1 << 32  # 32 and 33, which its posix_spawn ignores: no program uses them
    assert (blocked, ignored & ~glibc_s_own) == (0, 0)


def test_a_name_can_be_launched_again_only_when_it_is_down(keeper: KeeperClient, tmp_path: Path) -> None:
    sleeps = recipe(tmp_path, "a", "sleep", "1000")
    keeper.launch(sleeps)
    with pytest.raises(HarnessBroke, match="a: launched already"):
        keeper.launch(sleeps)
    assert keeper.stop("a", 1).ok
    assert keeper.launch(sleeps).facts["incarnation"] == 1


def test_an_unknown_name_is_the_harness_s_own_mistake(keeper: KeeperClient) -> None:
    with pytest.raises(HarnessBroke, match="knows no instance 'nobody'"):
        keeper.signal("nobody", Signal.KILL)


def test_given_descriptors_become_its_standard_input_and_output(keeper: KeeperClient, tmp_path: Path) -> None:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    driven = recipe(tmp_path, "driven", "sh", "-c", "echo to the log >&2; exec cat", stdio=(theirs_in, theirs_out))
    keeper.launch(driven)
    close(theirs_in, theirs_out)

    def answer() -> bytes:
        ready, _, _ = select.select([ours_in], [], [], SOON_S)
        assert ready, "no answer"
        return os.read(ours_in, 100)

    os.write(ours_out, b"one\n")
    assert answer() == b"one\n"
    assert wait_logged(driven, "to the log") == ["to the log"]
    # the next incarnation takes over where the first one left
    assert keeper.signal("driven", Signal.KILL).ok
    os.write(ours_out, b"two\n")
    assert keeper.restart("driven").ok
    assert answer() == b"two\n"
    # no copy stays open anywhere
    assert keeper.stop("driven", 1).ok
    assert answer() == b""
    with pytest.raises(BrokenPipeError):
        os.write(ours_out, b"three\n")
    refused = keeper.restart("driven")
    assert not refused.ok
    assert "closed" in refused.what
    close(ours_in, ours_out)


def test_end_of_file_reaches_a_driven_command_at_once(keeper: KeeperClient, tmp_path: Path) -> None:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    keeper.launch(recipe(tmp_path, "driven", "cat", stdio=(theirs_in, theirs_out)))
    close(theirs_in, theirs_out, ours_out)
    wait_for("cat to see the end of its input", SOON_S, lambda: not keeper.alive("driven"))
    assert keeper.exits("driven") == (0,)
    close(ours_in)


def test_a_daemon_that_leaves_its_parent_still_belongs_to_the_instance(keeper: KeeperClient, tmp_path: Path) -> None:
    keeper.launch(shell(tmp_path, "daemon", "setsid sh -c 'sleep 1000 & sleep 1000' & exit 3"))
    wait_for("the exit of the first process", SOON_S, lambda: keeper.exits("daemon") == (3,))
    assert keeper.alive("daemon")
    pids = wait_for("two sleeps and a shell", SOON_S, lambda: p if len(p := keeper.pids("daemon")) == 3 else None)
    assert keeper.stop("daemon", 1).ok
    wait_gone(*pids)
    assert not keeper.alive("daemon")
