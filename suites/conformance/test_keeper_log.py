"""What a process writes is in its log, line by line with times, whatever it writes."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from keeper_rig import SOON_S, logged, python, shell, wait_logged

from chaosharness.keeper.client import KeeperClient
from chaosharness.keeper.linelog import LINE_BYTES
from chaosharness.model.wait import wait_for
from chaosharness.ports.launch import Recipe, Signal


def ran(keeper: KeeperClient, recipe: Recipe) -> list[str]:
    keeper.launch(recipe)
    wait_for("its end", SOON_S, lambda: not keeper.alive(recipe.name))
    return logged(recipe)


def test_every_line_has_its_time(keeper: KeeperClient, tmp_path: Path) -> None:
    before = datetime.now(UTC)
    told = shell(tmp_path, "a", "echo one; echo two >&2; echo three")
    assert ran(keeper, told) == ["one", "two", "three"]
    lines = told.log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines)
    times = [datetime.fromisoformat(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert -0.01 < (times[0] - before).total_seconds() < SOON_S
    assert "started: pid" in lines[0]
    assert "code 0" in lines[-1]


def test_binary_output_is_text_in_the_log(keeper: KeeperClient, tmp_path: Path) -> None:
    lines = ran(keeper, python(tmp_path, "a", r"import os; os.write(1, b'\xff\xfe\x00ok\nfollows\r\n')"))
    assert lines == ["��\0ok", "follows"]


def test_a_last_line_without_an_end_is_there(keeper: KeeperClient, tmp_path: Path) -> None:
    assert ran(keeper, shell(tmp_path, "a", "echo whole; printf partial")) == ["whole", "partial"]


def test_what_was_written_before_a_kill_is_there_after_it(keeper: KeeperClient, tmp_path: Path) -> None:
    killed = shell(tmp_path, "a", "echo up; seq 1000; printf last; kill -STOP $$")
    [pid] = keeper.launch(killed).facts["pids"]
    wait_for("its stop", SOON_S, lambda: " (stopped)" in Path(f"/proc/{pid}/status").read_text())
    assert keeper.signal("a", Signal.KILL).ok
    assert logged(killed) == ["up", *map(str, range(1, 1001)), "last"]


def test_a_flood_is_written_through_and_its_lines_are_bounded(keeper: KeeperClient, tmp_path: Path) -> None:
    lines = ran(keeper, shell(tmp_path, "a", "head -c 1000000 /dev/zero | tr '\\0' x; echo; seq 100000"))
    long, short = lines[:-100000], lines[-100000:]
    assert "".join(long) == "x" * 1_000_000
    assert max(map(len, long)) == LINE_BYTES
    assert short == [str(number) for number in range(1, 100001)]


def test_incarnations_share_one_log(keeper: KeeperClient, tmp_path: Path) -> None:
    twice = shell(tmp_path, "a", "echo ran")
    ran(keeper, twice)
    assert keeper.restart("a").ok
    wait_logged(twice, "ran", times=2)
    assert "incarnation 2" in twice.log.read_text()
