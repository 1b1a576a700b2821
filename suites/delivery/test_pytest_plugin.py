"""The pytest face over real servers: what is collected, how a verdict becomes an outcome, and the options.

Scenarios run in a pytest process of their own, in a folder of their own, with warnings as errors.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from product import FIXTURES, SCENARIOS, Said, flow, inner_pytest, twin

from chaosharness.session.backend import VARIABLE

pytest_plugins = ("pytester",)

AIMED = "shipper[effect-ack:crash]"
WINDOWS = [
    "store-confirm:republish",
    "stored:broker-kill",
    "store-deliver:cut",
    "deliver-effect:crash",
    "effect-response:crash",
    "effect-ack:crash",
    "effect-ack:partition",
    "ack-settle:ack-lost",
]
PYTHON = f"""
import chaosharness as chaos

shipper = chaos.Flow(
    "shipper",
    source=chaos.redis_list("orders"),
    consumer=chaos.command(
        "python3 {FIXTURES}/services/shipper.py",
        env={{"REDIS_URL": "{{broker}}", "ORDERS": "orders", "CARRIER_URL": "{{effect}}", "WORKER": "{{host}}"}},
    ),
    effect=chaos.http("POST /v1/parcels", idempotent_by="header:Idempotency-Key"),
    workload=chaos.workload(payload='{{"order_id": "{{key}}"}}'),
    semantic=chaos.effectively_once(),
    because="a parcel is sent, and sent once",
    scenarios={SCENARIOS},
)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flows.toml").write_text(flow(), encoding="utf-8")
    return tmp_path


def here(pytester: pytest.Pytester, *arguments: str) -> Said:
    """As `inner_pytest`, within this process: for what starts no scenario."""
    if not (pytester.path / "flows.toml").exists():
        (pytester.path / "flows.toml").write_text(flow(), encoding="utf-8")
    ended = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-W", "error", *arguments)
    return Said(int(ended.ret), "\n".join(ended.outlines), "\n".join(ended.errlines))


def outcomes(said: Said) -> dict[str, int]:
    """`2 passed, 6 deselected in 5.39s` as counts."""
    line = said.out.rstrip().splitlines()[-1]
    return {word: int(number) for number, word in re.findall(r"(\d+) ([a-z]+)", line.partition(" in ")[0])}


def the_run(folder: Path) -> Any:
    (run,) = (folder / ".chaosharness" / "runs").iterdir()
    assert (run / "report.html").is_file()
    return json.loads((run / "run.json").read_text(encoding="utf-8"))


# collection


def test_each_applicable_scenario_is_an_item(folder: Path) -> None:
    said = inner_pytest(folder, "--collect-only", "-q")
    assert said.code == 0, said
    assert said.out.splitlines()[: len(WINDOWS)] == [f"flows.toml::shipper[{cell}]" for cell in WINDOWS]
    assert f"{len(WINDOWS)} tests collected" in said.out
    assert not (folder / ".chaosharness").exists()


@pytest.mark.parametrize(
    ("arguments", "collected"),
    [
        (["-k", "effect-ack"], 2),
        (["-k", "crash and not ack"], 2),
        (["-m", "chaos"], 8),
        (["-m", "not chaos"], 0),
        (["--chaos-only", "shipper[*:crash]"], 3),
        (["--chaos-only", "*cut*", "--chaos-only", "*republish*"], 2),
        ([f"flows.toml::{AIMED}"], 1),
    ],
)
def test_what_is_picked(pytester: pytest.Pytester, arguments: list[str], collected: int) -> None:
    said = here(pytester, "--collect-only", "-q", *arguments)
    assert len([line for line in said.out.splitlines() if line.startswith("flows.toml::")]) == collected, said


def test_which_files_are_flow_files(pytester: pytest.Pytester) -> None:
    """Any other file is somebody else's, unless it is asked for."""
    folder = pytester.path
    (folder / "more.flows.toml").write_text(flow("more"), encoding="utf-8")
    (folder / "other.toml").write_text(flow("other"), encoding="utf-8")
    (folder / "pyproject.toml").write_text("[project]\nname = 'shop'\n", encoding="utf-8")
    found = here(pytester, "--collect-only", "-q").out
    assert "flows.toml::shipper[" in found
    assert "more.flows.toml::more[" in found
    assert "other[" not in found
    assert "other.toml::other[" in here(pytester, "--collect-only", "-q", "other.toml").out


# outcomes


def test_what_is_upheld_passes(folder: Path) -> None:
    said = inner_pytest(folder, f"flows.toml::{AIMED}", "--chaos-seed", "5")
    assert (said.code, outcomes(said)) == (0, {"passed": 1}), said
    assert f"chaosharness: backend {os.environ[VARIABLE]} (" in said.out
    assert "CHAOSHARNESS_BACKEND says so), seed 5" in said.out
    assert "1 upheld" in said.out
    run = the_run(folder)
    assert run["seed"] == 5
    verdicts = {one["id"]: one["verdict"] for one in run["scenarios"]}
    assert verdicts[AIMED] == "upheld"
    assert set(verdicts.values()) == {"upheld", "not_applicable"}


def test_what_is_violated_fails_with_its_explanation(folder: Path) -> None:
    (folder / "twin.toml").write_text(twin(), encoding="utf-8")
    said = inner_pytest(folder, "twin.toml", "--chaos-only", "*store-deliver:cut*", "--chaos-seed", "5")
    assert (said.code, outcomes(said)) == (1, {"failed": 1}), said
    for part in (
        "because a parcel is sent, and sent once",
        "lost: 1 message never had the effect that was owed",
        "never delivered",
        "gate throws away the delivery",
        "chaosharness run twin.toml --only 'brpop_worker[store-deliver:cut]' --seed 5",
    ):
        assert part in said.out, said
    assert "Traceback" not in said.out
    assert ".py:" not in said.out


def test_what_is_not_proven_fails_with_what_is_missing(folder: Path) -> None:
    text = flow(drain_within_s=2).replace('command = "python3', 'restart = "never"\ncommand = "false')
    (folder / "flows.toml").write_text(text, encoding="utf-8")
    said = inner_pytest(folder, f"flows.toml::{AIMED}")
    assert (said.code, outcomes(said)) == (1, {"failed": 1}), said
    assert "ready_before_publish" in said.out
    assert "shipper.0 ended before it subscribed to orders" in said.out


def test_what_is_found_not_to_apply_is_skipped_with_the_reason(folder: Path) -> None:
    """A worker that pops has nothing to acknowledge: only the tap can know."""
    (folder / "flows.toml").write_text(twin(), encoding="utf-8")
    said = inner_pytest(folder, "flows.toml", "--chaos-only", "*effect-ack:crash*")
    assert (said.code, outcomes(said)) == (0, {"skipped": 1}), said
    assert "not applicable: the consumer's messages are settled when they are handed over" in said.out
    assert [one["verdict"] for one in the_run(folder)["scenarios"]] == ["not_applicable"]


# flows in Python


def test_every_window_of_a_flow_in_python(folder: Path) -> None:
    (folder / "test_shop.py").write_text(
        PYTHON
        + """
@chaos.every_window(shipper)
def test_parcels(scenario):
    result = scenario.run(messages=20, target=lambda payload: "-000006" in payload)
    assert (result.verdict, result.judgement.counts["owed"]) == ("upheld", 20)
    assert result.target.endswith("-000006")
    assert scenario.id == "shipper[effect-ack:crash]"

def test_beside():
    pass
""",
        encoding="utf-8",
    )
    said = inner_pytest(folder, "test_shop.py", "--chaos-only", AIMED, "-v")
    assert (said.code, outcomes(said)) == (0, {"passed": 2}), said
    assert f"test_shop.py::test_parcels[{AIMED}] PASSED" in said.out
    collected = inner_pytest(folder, "test_shop.py", "--collect-only", "-q").out.splitlines()
    assert collected[: len(WINDOWS)] == [f"test_shop.py::test_parcels[shipper[{cell}]]" for cell in WINDOWS]


def test_a_violation_in_python_is_raised(folder: Path) -> None:
    text = PYTHON.replace("services/shipper.py", "twins/brpop_worker.py").replace(
        "chaos.effectively_once()", "chaos.effectively_once(drain_within_s=2)"
    )
    (folder / "test_shop.py").write_text(
        text
        + """
@chaos.every_window(shipper)
def test_parcels(scenario):
    scenario.run(messages=20)
    raise AssertionError("not reached")
""",
        encoding="utf-8",
    )
    options = ["--chaos-only", "*store-deliver:cut*", "--chaos-seed", "5", "--chaos-target", "7"]
    said = inner_pytest(folder, "test_shop.py", *options)
    assert (said.code, outcomes(said)) == (1, {"failed": 1}), said
    assert "lost: 1 message" in said.out
    assert "not reached" not in said.out
    again = "'test_shop.py::test_parcels[shipper[store-deliver:cut]]' --chaos-seed 5 --chaos-target 7"
    assert f"reproduce: pytest {again}" in said.out


def test_a_scenario_without_a_flow(pytester: pytest.Pytester) -> None:
    (pytester.path / "test_shop.py").write_text("def test_parcels(scenario):\n    scenario.run()\n", encoding="utf-8")
    said = here(pytester, "test_shop.py")
    assert said.code == 1, said
    assert "`scenario` needs the decorator @chaosharness.every_window(flow)" in said.out


# options


def test_the_options_are_explained(pytester: pytest.Pytester) -> None:
    said = here(pytester, "--help").out
    for option in ("only=GLOB", "seed=N", "target=WHICH", "backend=BACKEND", "runs=DIR"):
        assert f"--chaos-{option}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--chaos-backend", "podman"], "invalid choice: 'podman'"),
        (["--chaos-seed", "x"], "invalid int value: 'x'"),
        (["--chaos-only", "nothing*"], "--chaos-only nothing*: matches no scenario; an id has the form flow[window"),
        (["--chaos-only", "shipper[effect-akc:crash]"], "nearest: shipper[effect-ack:crash]"),
    ],
)
def test_bad_usage(pytester: pytest.Pytester, arguments: list[str], message: str) -> None:
    said = here(pytester, "flows.toml", *arguments)
    assert said.code == pytest.ExitCode.USAGE_ERROR, said
    assert message in said.out + said.err
    assert "Traceback" not in said.out + said.err
    assert not (pytester.path / ".chaosharness").exists()


def test_a_backend_of_the_environment_that_there_is_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAOSHARNESS_BACKEND", "podman")
    said = here(pytester, "flows.toml")
    assert said.code == pytest.ExitCode.USAGE_ERROR, said
    assert "CHAOSHARNESS_BACKEND: unknown backend 'podman' (known: auto, docker, local)" in said.out + said.err


def test_a_bad_flow_file(pytester: pytest.Pytester) -> None:
    text = flow().replace("effectively_once", "exactly_once")
    (pytester.path / "flows.toml").write_text(text, encoding="utf-8")
    said = here(pytester)
    assert said.code == pytest.ExitCode.INTERRUPTED, said
    assert 'flows.toml:2: flow.shipper.semantic: unknown semantic "exactly_once"; did you mean' in said.out
    assert "Traceback" not in said.out


def test_a_server_that_is_missing(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSHARNESS_TOXIPROXY", "/nowhere")
    said = here(pytester, f"flows.toml::{AIMED}", "--chaos-backend", "local")
    assert (said.code, outcomes(said)) == (1, {"failed": 1}), said
    assert "CHAOSHARNESS_TOXIPROXY names /nowhere, which is no program; to add it: " in said.out
    assert "Traceback" not in said.out


def test_a_target_that_is_out_of_range(pytester: pytest.Pytester) -> None:
    said = here(pytester, f"flows.toml::{AIMED}", "--chaos-target", "999")
    assert (said.code, outcomes(said)) == (1, {"failed": 1}), said
    assert "target '999': of 30 messages, 0 to 26 are sent before the heal" in said.out


def test_other_tests_do_not_notice(folder: Path) -> None:
    """The plugin is there for all tests of an environment: where nothing of it is used, it leaves nothing."""
    (folder / "flows.toml").unlink()
    (folder / "test_other.py").write_text("def test_other(): pass\n", encoding="utf-8")
    said = inner_pytest(folder)
    assert (said.code, outcomes(said)) == (0, {"passed": 1}), said
    assert not (folder / ".chaosharness").exists()
