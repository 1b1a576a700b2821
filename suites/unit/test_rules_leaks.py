"""The watch over what a session leaves behind: it fails a session that leaves something, and names it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaosharness.keeper import tree

SUITES = Path(__file__).parents[1]
LEAKING = """
import os, socket, subprocess, tempfile

def test_an_orphan_in_a_session_of_its_own():
    subprocess.run(["sh", "-c", "setsid sleep 61 & exit"], check=True, stdin=subprocess.DEVNULL)

def test_a_child():
    os.posix_spawn("/bin/sleep", ["sleep", "62"], {}, file_actions=[(os.POSIX_SPAWN_CLOSE, 1)])

def test_a_port():
    global open_port
    open_port = socket.create_server(("127.0.0.1", 0))
    print("port", open_port.getsockname()[1])

def test_a_folder():
    tempfile.mkdtemp(prefix="forgotten-")
"""
CLEAN = """
import shutil, socket, subprocess, sys, tempfile
from pathlib import Path

def test_all_is_ended(tmp_path):
    with socket.create_server(("127.0.0.1", 0)), subprocess.Popen(["sleep", "63"]) as process:
        process.kill()
    shutil.rmtree(tempfile.mkdtemp())
    Path(tmp_path, "kept").touch()

def test_commands_are_those_beside_python():
    assert Path(shutil.which("python3")).parent == Path(sys.executable).parent
"""


def session(folder: Path, tests: str) -> subprocess.CompletedProcess[str]:
    """A session of pytest of its own, under a copy of this folder's conftest."""
    for name in ("conftest.py", "backends.py", "leaks.py"):
        shutil.copy(SUITES / name, folder)
    (folder / "test_it.py").write_text(tests)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-s", "-rN", "-p", "no:cacheprovider", "-W", "error", str(folder)],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_what_a_session_leaves_is_named_ended_and_fails_it(tmp_path: Path) -> None:
    ran = session(tmp_path, LEAKING)
    assert ran.returncode == 1, ran.stdout
    assert "4 passed, 1 error" in ran.stdout
    pids = [int(pid) for pid in re.findall(r"^process (\d+): sleep 6[12]$", ran.stdout, re.MULTILINE)]
    assert len(pids) == 2, ran.stdout
    port = re.findall(r"port (\d+)$", ran.stdout, re.MULTILINE)
    assert f"port {port[0]}: open in the test process itself" in ran.stdout
    assert re.search(r"^temporary file \S+/forgotten-", ran.stdout, re.MULTILINE)
    assert len(re.findall(r"^(process|port \d+:|temporary file|run folder) ", ran.stdout, re.MULTILINE)) == 4
    assert not any((row := tree.look(pid)) and not row.gone for pid in pids)
    assert not list(tmp_path.rglob("forgotten-*"))


def test_a_clean_session_passes_whatever_others_run(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "64"]) as somebody_elses:
        ran = session(tmp_path, CLEAN)
        somebody_elses.kill()
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout


def test_in_ci_a_run_folder_of_the_project_counts_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    ran = session(tmp_path, "import os\ndef test_it(): os.makedirs('.chaosharness/runs/2026-1')\n")
    assert ran.returncode == 1, ran.stdout
    assert "run folder .chaosharness/runs/2026-1" in ran.stdout
