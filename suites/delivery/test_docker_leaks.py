"""On Docker too nothing outlives a run, however it ends; and what it had recorded can be read."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aftermath import FILES, keeper_is_done, readable, recorded
from leaks import Watch
from product import ENDS_WITHIN_S, PYTEST, SLOW, Started, cli, flow, inner_pytest, started
from slow_engine import slow_engine

from chaosharness.keeper import tree
from chaosharness.keeper.client import KeeperClient
from chaosharness.model.wait import wait_for
from chaosharness.servers.docker.engine import Engine

CELL = "effect-ack:crash"
WAYS = {
    "chaosharness": [sys.executable, "-m", "chaosharness", "run", "flows.toml", "--runs", "runs"],
    "pytest": [*PYTEST, "flows.toml", "--chaos-runs", "runs"],
}
ALL_FILES = (*FILES, "docker")


@pytest.fixture(autouse=True)
def on_docker(docker_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSHARNESS_BACKEND", "docker")


@pytest.fixture
def watch(docker_engine: Engine, tmp_path: Path) -> Iterator[Watch]:
    """Fails the test, not only the session, if anything outlives it."""
    watch = Watch()
    watch.look_at(docker_engine, tmp_path)
    yield watch
    assert watch.end() == []


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> list[str]:
    return WAYS[request.param]


def on_engine(watch: Watch) -> set[str]:
    """What is there of the run, by kind."""
    return {line.split()[0] for line in watch.left()} & {"container", "network", "volume"}


def keeper_of(pid: int) -> tree.Process:
    def is_keeper(row: tree.Process) -> bool:
        with suppress(OSError):
            return b"chaosharness.keeper\0" in Path(f"/proc/{row.pid}/cmdline").read_bytes()
        return False

    (keeper,) = [row for row in tree.below(tree.scan(), pid) if row.ppid == pid and is_keeper(row)]
    return keeper


def lives(process: tree.Process) -> bool:
    now = tree.look(process.pid)
    return now is not None and now.start == process.start and not now.gone


def test_after_a_run(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    said = inner_pytest(tmp_path, "flows.toml", "--chaos-only", f"*{CELL}*", "--chaos-runs", "runs")
    assert said.code == 0, said
    assert watch.left() == []
    (run,) = (tmp_path / "runs").iterdir()
    assert recorded(run, ALL_FILES) > 100


def interrupted(watch: Watch, folder: Path, way: list[str], number: signal.Signals) -> tuple[Started, int]:
    """Starts a slow run, signals the whole group in the middle; returns it, and its exit code."""
    (folder / "flows.toml").write_text(flow(workload=SLOW), encoding="utf-8")
    with started([*way], folder, folder / "runs") as run:
        assert on_engine(watch) == {"container", "network"}
        run.to_group(number)
        said = run.end()
    return run, said.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_run_that_was_interrupted(watch: Watch, tmp_path: Path, number: signal.Signals) -> None:
    run, code = interrupted(watch, tmp_path, WAYS["chaosharness"], number)
    assert code == 130
    assert watch.left() == []
    assert recorded(run.run, ALL_FILES) > 20
    readable(tmp_path, run.run)


def test_after_a_kill(watch: Watch, tmp_path: Path, way: list[str]) -> None:
    """The keeper alone is left, and removes all others and itself."""
    run, code = interrupted(watch, tmp_path, way, signal.SIGKILL)
    assert code == -signal.SIGKILL
    keeper_is_done(watch)
    assert recorded(run.run, ALL_FILES) > 20


@pytest.mark.parametrize("then", ["doctor", "session"])
def test_after_a_kill_of_harness_and_keeper_at_once(
    watch: Watch, tmp_path: Path, docker_engine: Engine, then: str
) -> None:
    (tmp_path / "flows.toml").write_text(flow(workload=SLOW), encoding="utf-8")
    with started([*WAYS["pytest"]], tmp_path, tmp_path / "runs") as run:
        keeper = keeper_of(run.process.pid)
        run.to_group(signal.SIGSTOP)  # so that it can do nothing in between
        assert tree.send(keeper, signal.SIGKILL)
        run.to_group(signal.SIGKILL)
        run.end()
    if then == "doctor":
        # what a sweep refuses is somebody else's: it says so, and goes on
        assert cli(tmp_path, "doctor", "--clean").code in (0, 4)
        assert on_engine(watch) == set()
    else:
        from chaosharness.servers.docker.ground import Ground

        with KeeperClient.start(tmp_path / "keeper") as next_keeper, closing(Ground(docker_engine, next_keeper)):
            pass
    keeper_is_done(watch)
    assert recorded(run.run, ALL_FILES) > 20


CREATING = """
import itertools, os, sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient
from chaosharness.servers.docker.engine import find_engine
from chaosharness.servers.docker.ground import Ground

keeper = KeeperClient.start(Path(sys.argv[1]))
ground = Ground(find_engine(), keeper)
print(keeper.pid, flush=True)
for number in itertools.count():
    print(number, flush=True)
    ground.create(sys.argv[2], f"c{number}")
"""


Moment = Callable[[subprocess.Popen[str]], object]


def killed_while_creating(folder: Path, env: Mapping[str, str], moment: Moment) -> None:
    """Kills a harness that creates one container after another, and waits until its keeper has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", CREATING, str(folder / "keeper"), os.environ["CHAOSHARNESS_IMAGE_REDIS"]],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        keeper = tree.look(int(process.stdout.readline()))
        assert keeper
        process.stdout.readline()
        moment(process)
        process.kill()
    wait_for("the keeper to end", ENDS_WITHIN_S, lambda: not lives(keeper))


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_while_a_container_is_created(watch: Watch, tmp_path: Path, seed: int) -> None:
    """The engine goes on with it when who asked is gone."""

    def some_moment(process: subprocess.Popen[str]) -> None:
        with suppress(subprocess.TimeoutExpired):  # a call takes some 50 ms
            process.wait(random.Random(seed).uniform(0, 0.06))

    killed_while_creating(tmp_path, {}, some_moment)
    assert on_engine(watch) == set()


def test_after_a_kill_whose_container_comes_late(watch: Watch, docker_engine: Engine, tmp_path: Path) -> None:
    """When the sweep has removed all that was there, and sees nothing any more."""
    looks = itertools.count(1)

    with tempfile.TemporaryDirectory() as short, slow_engine(urlsplit(docker_engine.url).path, Path(short)) as engine:

        def count(request: bytes) -> None:
            if b"/volumes" in request and next(looks) == 2:  # what a look ends with
                engine.let_go.set()

        def asked(process: subprocess.Popen[str]) -> None:
            assert engine.asked.wait(ENDS_WITHIN_S)
            engine.on_request = count

        killed_while_creating(tmp_path, {"DOCKER_HOST": engine.url}, asked)
        assert engine.let_go.is_set()
    assert on_engine(watch) == set()
