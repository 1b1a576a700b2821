"""Runs of the product with one small flow, for tests of where its containers are.

In: a folder, variables. Out: what a run said, and how long it took. To try it: test_docker_remote.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FLOWS = Path(__file__).parents[2] / "fixtures" / "flows"
ENDS_WITHIN_S = 120.0
CELL = "shipper[effect-ack:crash]"
FLOW = """\
[flow.shipper]
semantic = "effectively_once"
because = "a parcel is sent, and sent once"
scenarios = ["effect-ack:crash"]
[flow.shipper.source]
redis_list = "orders"
[flow.shipper.consumer]
{consumer}
env = {{ REDIS_URL = "{{broker}}", ORDERS = "orders", CARRIER_URL = "{{effect}}", WORKER = "{{host}}" }}
[flow.shipper.effect]
http = "POST /v1/parcels"
idempotent_by = "header:Idempotency-Key"
[flow.shipper.workload]
messages = 30
payload = '{{"order_id": "{{key}}"}}'
"""
PROCESS = f'command = "python3 {FLOWS.parent / "services" / "shipper.py"}"'


class Ran:
    """`chaosharness ARGUMENTS`, to its end."""

    def __init__(self, folder: Path, env: Mapping[str, str], *arguments: str) -> None:
        argv = [sys.executable, "-W", "error", "-m", "chaosharness", *arguments]
        began = time.monotonic()
        ended = subprocess.run(
            argv, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=ENDS_WITHIN_S
        )
        self.took_s = time.monotonic() - began
        self.code, self.out, self.err = ended.returncode, ended.stdout, ended.stderr

    def __repr__(self) -> str:
        return f"exit code {self.code} after {self.took_s:.1f} s\n{self.out}\n{self.err}"

    def run(self) -> Any:
        """Of `run --json`."""
        assert self.out, self.err
        return json.loads(self.out)

    def verdicts(self) -> dict[str, str]:
        return {scenario["id"]: scenario["verdict"] for scenario in self.run()["scenarios"]}


def shipper(folder: Path, consumer: str = PROCESS) -> Path:
    """A flow file in `folder` with one scenario, CELL."""
    file = folder / "flows.toml"
    file.write_text(FLOW.format(consumer=consumer), encoding="utf-8")
    return file


KILLED = """
import sys
from pathlib import Path
from chaosharness.keeper.client import KeeperClient
from chaosharness.servers.docker.engine import find_engine
from chaosharness.servers.docker.launcher import DockerLauncher
launcher = DockerLauncher(find_engine(), KeeperClient.start(Path(sys.argv[1])))
print(launcher.ground.links.id, flush=True)
sys.stdin.read()
"""


def kill_a_harness(folder: Path) -> None:
    """One that has made its networks, by SIGKILL; the environment leads it to its engine."""
    argv = [sys.executable, "-c", KILLED, str(folder / "killed")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.kill()
