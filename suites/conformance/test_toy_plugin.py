"""A plugin is one distribution with entry points: its broker, sink and fault are run and judged like any other.

It is installed into a folder of the test's own and made visible by PYTHONPATH, so that chaosharness's own environment
knows nothing of it before and after.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"
WITHIN_S = 240.0
FLOWS = """
[flow.shipper]
semantic = "effectively_once"
because = "a parcel is sent, and sent once"
drain_within_s = 20
[flow.shipper.source]
toy_queue = "orders"
[flow.shipper.consumer]
command = "python3 {services}/shipper.py"
env = {{ REDIS_URL = "{{broker}}", ORDERS = "orders", CARRIER_URL = "{{effect}}", WORKER = "{{host}}" }}
[flow.shipper.effect]
toy_http = "/v1/parcels"
idempotent_by = "header:Idempotency-Key"
[flow.shipper.workload]
messages = 60
payload = '{{"order_id": "{{key}}"}}'

[flow.forgetful]
semantic = "effectively_once"
because = "a parcel is sent, and sent once"
drain_within_s = 5
[flow.forgetful.source]
toy_queue = "orders"
[flow.forgetful.consumer]
command = "python3 {twins}/brpop_worker.py"
env = {{ REDIS_URL = "{{broker}}", ORDERS = "orders", CARRIER_URL = "{{effect}}" }}
[flow.forgetful.effect]
toy_http = "/v1/parcels"
idempotent_by = "header:Idempotency-Key"
[flow.forgetful.workload]
messages = 60
payload = '{{"order_id": "{{key}}"}}'
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the plugin is installed; built from a copy, since a build writes beside its sources."""
    source, target = tmp_path_factory.mktemp("source") / "toy_plugin", tmp_path_factory.mktemp("installed")
    shutil.copytree(FIXTURES / "toy_plugin", source, ignore=shutil.ignore_patterns("*.egg-info", "build"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", target, source], check=True)
    return target


def chaosharness(*arguments: str, plugin: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PYTHONPATH": str(plugin)} if plugin else {})}
    return subprocess.run(
        [sys.executable, "-m", "chaosharness", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flows") / "flows.toml"
    path.write_text(FLOWS.format(services=FIXTURES / "services", twins=FIXTURES / "twins"))
    return path


def test_without_the_plugin_its_broker_is_unknown(flows: Path, tmp_path: Path) -> None:
    assert "toy_queue" not in {point.name for point in entry_points(group="chaosharness.brokers")}
    ran = chaosharness("run", str(flows), "--runs", str(tmp_path))
    assert ran.returncode == 2
    assert "toy_queue" in ran.stderr


def test_the_plugin_keeps_to_its_ports(installed: Path) -> None:
    ran = chaosharness("doctor", "--json", plugin=installed)
    assert json.loads(ran.stdout)["plugins"] == []


def test_its_scenarios_are_run_and_judged(installed: Path, flows: Path, tmp_path: Path) -> None:
    ran = chaosharness("run", str(flows), "--runs", str(tmp_path), "--json", "--seed", "7", plugin=installed)
    assert ran.returncode == 1, ran.stderr + ran.stdout
    (file,) = tmp_path.glob("*/run.json")
    run = json.loads(ran.stdout)
    assert json.loads(file.read_text()) == run
    found: dict[str, dict[str, Any]] = {scenario["id"]: scenario for scenario in run["scenarios"]}
    assert {id: scenario["verdict"] for id, scenario in found.items()} == {
        "shipper[deliver-effect:toy-crash]": "upheld",
        "shipper[effect-ack:toy-crash]": "upheld",
        "forgetful[deliver-effect:toy-crash]": "violated",
        "forgetful[effect-ack:toy-crash]": "not_applicable",
    }
    (lost,) = found["forgetful[deliver-effect:toy-crash]"]["findings"]
    assert lost["kind"] == "lost"
    assert len(lost["keys"]) == 1
