"""Nothing is left behind, however a run ends; and what it had recorded can be read."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aftermath import keeper_is_done, readable, recorded
from leaks import Watch
from product import FIXTURES, PYTEST, SLOW, Started, cli, flow, inner_pytest, started, twin

CELL = "effect-ack:crash"
WAYS = {
    "chaosharness": [sys.executable, "-m", "chaosharness", "run", "flows.toml", "--runs", "runs"],
    "pytest": [*PYTEST, "flows.toml", "--chaos-runs", "runs"],
}
SERVICES = (FIXTURES / "flows" / "services.toml").read_text(encoding="utf-8").replace("../", f"{FIXTURES}/")
SLOW_RABBITMQ = SERVICES.replace("[flow.payment.workload]", f"[flow.payment.workload]\n{SLOW}")


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Fails the test, not only the session, if anything outlives it."""
    watch = Watch()
    yield watch
    assert watch.end() == []


def no_data(run: Path) -> None:
    """The broker's data is gone, its log stays."""
    assert list(run.glob("servers*/*/*.log"))
    assert [path for path in run.glob("servers*/*/data") if path.exists()] == []


@pytest.fixture(params=sorted(WAYS))
def way(request: pytest.FixtureRequest) -> list[str]:
    return WAYS[request.param]


def interrupted(folder: Path, way: list[str], number: signal.Signals, text: str = "") -> tuple[Started, int]:
    """Starts a slow run, signals the whole group in the middle; returns it, and its exit code."""
    (folder / "flows.toml").write_text(text or flow(workload=SLOW), encoding="utf-8")
    with started([*way], folder, folder / "runs") as run:
        run.to_group(number)
        said = run.end()
    assert said.code is not None
    return run, said.code


def test_after_a_run_that_is_upheld(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    said = cli(tmp_path, "run", "flows.toml", "--only", f"*{CELL}*", "--runs", "runs")
    assert said.code == 0, said
    (run,) = (tmp_path / "runs").iterdir()
    assert recorded(run) > 100
    no_data(run)
    assert watch.left() == []


def test_after_a_run_that_is_violated(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "flows.toml").write_text(twin(), encoding="utf-8")
    said = inner_pytest(tmp_path, "flows.toml", "--chaos-only", "*store-deliver:cut*", "--chaos-runs", "runs")
    assert said.code == 1, said
    (run,) = (tmp_path / "runs").iterdir()
    assert recorded(run) > 100
    no_data(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_run_that_was_interrupted(watch: Watch, tmp_path: Path, number: signal.Signals) -> None:
    run, code = interrupted(tmp_path, WAYS["chaosharness"], number)
    assert code == 130
    assert recorded(run.run) > 20
    no_data(run.run)
    readable(tmp_path, run.run)
    assert '"interrupted": true' in (run.run / "run.json").read_text()


def test_after_a_pytest_that_was_interrupted(watch: Watch, tmp_path: Path) -> None:
    run, code = interrupted(tmp_path, WAYS["pytest"], signal.SIGINT)
    assert code == pytest.ExitCode.INTERRUPTED
    assert recorded(run.run) > 20
    no_data(run.run)
    readable(tmp_path, run.run)


def test_after_a_pytest_that_was_terminated(watch: Watch, tmp_path: Path) -> None:
    run, code = interrupted(tmp_path, WAYS["pytest"], signal.SIGTERM)
    assert code == -signal.SIGTERM
    keeper_is_done(watch)
    assert recorded(run.run) > 20
    no_data(run.run)


def test_after_a_kill(watch: Watch, tmp_path: Path, way: list[str]) -> None:
    """The keeper alone is left, and ends all others and itself."""
    run, code = interrupted(tmp_path, way, signal.SIGKILL)
    assert code == -signal.SIGKILL
    keeper_is_done(watch)
    assert recorded(run.run) > 20
    no_data(run.run)


def test_after_a_kill_with_rabbitmq(watch: Watch, tmp_path: Path) -> None:
    """Whose processes are several: the Erlang machine and its helpers."""
    run, code = interrupted(
        tmp_path, [*WAYS["pytest"], "--chaos-only", f"payment[{CELL}]"], signal.SIGKILL, SLOW_RABBITMQ
    )
    assert code == -signal.SIGKILL
    keeper_is_done(watch)
    assert recorded(run.run) > 20
    no_data(run.run)


def test_after_an_interrupt_with_rabbitmq(watch: Watch, tmp_path: Path) -> None:
    run, code = interrupted(
        tmp_path, [*WAYS["chaosharness"], "--only", f"payment[{CELL}]"], signal.SIGINT, SLOW_RABBITMQ
    )
    assert code == 130
    assert recorded(run.run) > 20
    no_data(run.run)
    readable(tmp_path, run.run)
