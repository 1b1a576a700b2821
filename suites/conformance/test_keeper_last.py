"""The command that the keeper runs last: for what is not a process below it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from keeper_rig import lives, recipe, wait_gone

from chaosharness.keeper.client import LOG, KeeperClient
from chaosharness.model.errors import HarnessBroke
from chaosharness.ports.launch import Recipe

LAST = "import os, sys; open(sys.argv[1], 'a').write(os.environ['SAYS']); sys.exit(int(sys.argv[2]))"
HARNESS = """
import signal, sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient

keeper = KeeperClient.start(Path(sys.argv[1]) / "keeper")
keeper.run_on_end([sys.executable, "-c", sys.argv[2], sys.argv[1] + "/said", "0"], {"SAYS": "last"}, 60)
print(keeper.pid, flush=True)
signal.pause()
"""


def last(folder: Path, code: int = 0) -> list[str]:
    return [sys.executable, "-c", LAST, str(folder / "said"), str(code)]


def said(folder: Path) -> str:
    """What the last commands wrote."""
    path = folder / "said"
    return path.read_text() if path.exists() else ""


def sleeper(folder: Path) -> Recipe:
    return recipe(folder, "a", "sleep", "1000")


def test_it_runs_when_the_keeper_is_closed_and_no_process_is_left(tmp_path: Path) -> None:
    looks = (
        "import os, sys; open(sys.argv[1], 'w').write(str([p for p in sys.argv[2:] if os.path.exists('/proc/' + p)]))"
    )
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        pids = keeper.launch(sleeper(tmp_path)).facts["pids"]
        keeper.run_on_end(
            [sys.executable, "-c", looks, str(tmp_path / "said"), *(f"/proc/{pid}" for pid in pids)], {}, 60
        )
        assert said(tmp_path) == ""
    assert said(tmp_path) == "[]"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_runs_when_the_harness_is_gone(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(tmp_path), LAST], stdout=subprocess.PIPE, text=True
    ) as harness:
        assert harness.stdout
        keeper = int(harness.stdout.readline())
        harness.send_signal(number)
        harness.wait()
        wait_gone(keeper)
    assert said(tmp_path) == "last"


def test_it_runs_when_the_keeper_is_told_to_end(tmp_path: Path) -> None:
    keeper = KeeperClient.start(tmp_path / "keeper")
    keeper.run_on_end(last(tmp_path), {"SAYS": "last"}, 60)
    os.kill(keeper.pid, signal.SIGTERM)
    wait_gone(keeper.pid)
    assert said(tmp_path) == "last"
    with pytest.raises(HarnessBroke, match="keeper is gone"):
        keeper.close()


def test_the_command_that_was_named_last_is_the_one(tmp_path: Path) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        for text in ("first", "second"):
            keeper.run_on_end(last(tmp_path), {"SAYS": text}, 60)
    assert said(tmp_path) == "second"


def test_what_is_forgotten_is_not_run(tmp_path: Path) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        keeper.run_on_end(last(tmp_path), {"SAYS": "last"}, 60)
        keeper.forget_on_end()
    assert said(tmp_path) == ""


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    hangs = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        keeper.run_on_end([sys.executable, "-c", hangs, str(tmp_path / "said")], {}, 1.0)
    pid = said(tmp_path)
    assert not (pid and lives(int(pid)))
    assert "killed, as it did not end within 1 s" in (tmp_path / "keeper" / LOG).read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["/nowhere/program"], "No such file or directory: '/nowhere/program'"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "exit code 3"),
        ([sys.executable, "-c", "raise SystemExit('why it failed')"], "why it failed"),
    ],
)
def test_one_that_fails_is_told_of_in_the_log(tmp_path: Path, argv: list[str], words: str) -> None:
    with KeeperClient.start(tmp_path / "keeper") as keeper:
        keeper.launch(sleeper(tmp_path))
        keeper.run_on_end(argv, {}, 60)
    assert words in (tmp_path / "keeper" / LOG).read_text()


def test_close_waits_for_one_that_takes_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the keeper's own end may take."""
    monkeypatch.setattr("chaosharness.keeper.client.CLOSE_S", 0.0)
    keeper = KeeperClient.start(tmp_path / "keeper")
    keeper.run_on_end(last(tmp_path), {"SAYS": "last"}, 60)
    keeper.close()
    assert said(tmp_path) == "last"
