"""Who descends from whom, and addresses as /proc writes them."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from chaosharness.keeper import tree
from chaosharness.keeper.sockets import parse_address
from chaosharness.keeper.tree import Process
from chaosharness.model.address import Address

TABLE = {pid: Process(pid, ppid, "S", 1, 0) for pid, ppid in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (6, 1), (7, 6)]}


def test_descendants_nearest_first() -> None:
    assert [process.pid for process in tree.below(TABLE, 2)] == [3, 4, 5]
    assert [process.pid for process in tree.below(TABLE, 3, 6)] == [5, 7]
    assert tree.below(TABLE, 99) == []


def test_what_is_skipped_is_left_out_with_all_below_it() -> None:
    assert [process.pid for process in tree.below(TABLE, 1, skip={2})] == [6, 7]
    assert [process.pid for process in tree.below(TABLE, 1, skip={3, 6})] == [2, 4]


@pytest.mark.parametrize(
    ("state", "threads", "gone"), [("S", 1, False), ("Z", 1, True), ("Z", 3, False), ("X", 0, True), ("T", 1, False)]
)
def test_a_dead_leader_with_living_threads_is_not_gone(state: str, threads: int, gone: bool) -> None:
    assert Process(1, 0, state, threads, 0).gone is gone


def test_a_look_at_oneself() -> None:
    mine = tree.look(os.getpid())
    assert mine is not None
    assert (mine.pid, mine.ppid, mine.state) == (os.getpid(), os.getppid(), "R")
    assert tree.scan()[os.getpid()].start == mine.start
    assert tree.running(os.getpid())


def test_a_signal_reaches_only_the_process_that_was_seen() -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        seen = tree.look(process.pid)
        assert seen is not None
        assert not tree.send(seen._replace(start=seen.start + 1), signal.SIGKILL)
        assert process.poll() is None
        assert tree.send(seen, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not tree.send(seen, signal.SIGKILL)
    assert tree.look(process.pid) is None


def test_a_command_s_name_may_hold_anything() -> None:
    # the name stands between brackets in the middle of the row
    with subprocess.Popen(["sh", "-c", "printf ') Z 1 (' > /proc/$$/comm; echo; exec cat"], stdin=-1, stdout=-1) as sh:
        assert sh.stdin
        assert sh.stdout
        sh.stdout.readline()
        row = tree.look(sh.pid)
        assert row is not None
        assert (row.ppid, row.gone) == (os.getpid(), False)
        sh.stdin.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F:1F90", Address("127.0.0.1", 8080)),
        ("00000000:0016", Address("0.0.0.0", 22)),
        ("0000000000000000FFFF00000100007F:1F90", Address("127.0.0.1", 8080)),
        ("00000000000000000000000001000000:1F90", Address("::1", 8080)),
        ("B80D01200000000000000000EFBEADDE:0001", Address("2001:db8::dead:beef", 1)),
    ],
)
def test_addresses(text: str, address: Address, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")
    assert parse_address(text) == address
