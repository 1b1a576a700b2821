"""The product as people start it: `chaosharness …` and `pytest …` as processes, in a folder of the test's own.

In: arguments, a folder. Out: what a process said and its exit code; or a running one, to be interrupted in the middle.
The flow files here use Redis, which starts in milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaosharness.ledger.reader import read
from chaosharness.ledger.writer import SUFFIX
from chaosharness.model.event import Kind
from chaosharness.model.wait import wait_for

FIXTURES = Path(__file__).parents[2] / "fixtures"
ENDS_WITHIN_S = 60.0
"""For a busy machine; a run that hangs is stopped by then."""

FLOW = """\
[flow.{name}]
semantic = "effectively_once"
because = "a parcel is sent, and sent once"
drain_within_s = {drain_within_s}
scenarios = {scenarios}
[flow.{name}.source]
redis_list = "orders"
[flow.{name}.consumer]
command = "python3 {service}"
env = {{ REDIS_URL = "{{broker}}", ORDERS = "orders", CARRIER_URL = "{{effect}}", WORKER = "{{host}}" }}
[flow.{name}.effect]
http = "POST /v1/parcels"
idempotent_by = "header:Idempotency-Key"
[flow.{name}.workload]
{workload}
payload = '{{"order_id": "{{key}}"}}'
"""
SCENARIOS = [
    "publish-store:publish-lost", "store-confirm:confirm-lost", "store-confirm:republish", "stored:broker-kill",
    "store-deliver:cut", "deliver-effect:crash", "effect-response:crash", "effect-ack:crash", "effect-ack:partition",
    "ack-settle:ack-lost",
]  # fmt: skip
"""Two of them are not applicable, one or two for each other window: a run of all that there are takes minutes."""
SLOW = "messages = 400\nrate_per_s = 20"
"""A workload of twenty seconds: time to be interrupted in."""


def flow(
    name: str = "shipper",
    service: str = "services/shipper.py",
    workload: str = "messages = 30",
    drain_within_s: float = 20,
) -> str:
    """The text of a flow file with one flow; by default one that keeps its promise."""
    return FLOW.format(
        name=name,
        service=FIXTURES / service,
        workload=workload,
        drain_within_s=drain_within_s,
        scenarios=json.dumps(SCENARIOS),
    )


def twin(name: str = "brpop_worker") -> str:
    """A flow that loses what it has when it crashes."""
    return flow(name, f"twins/{name}.py", drain_within_s=2)


@dataclass(frozen=True)
class Said:
    """What a process left behind it."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- standard output\n{self.out}\n--- standard error\n{self.err}"


def cli(folder: Path, *arguments: str, **env: str) -> Said:
    """`chaosharness ARGUMENTS` in `folder`, to its end."""
    return _run([sys.executable, "-W", "error", "-m", "chaosharness", *arguments], folder, env)


def inner_pytest(folder: Path, *arguments: str, **env: str) -> Said:
    """`pytest ARGUMENTS` in `folder`, warnings being errors, to its end."""
    return _run([*PYTEST, *arguments], folder, env)


PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "-ra"]


def _run(argv: list[str], folder: Path, env: dict[str, str]) -> Said:
    ended = subprocess.run(
        argv, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, timeout=ENDS_WITHIN_S
    )
    return Said(ended.returncode, ended.stdout, ended.stderr)


@dataclass
class Started:
    """A process in the middle of its first scenario."""

    process: subprocess.Popen[str]
    runs: Path

    @property
    def run(self) -> Path:
        """Its run's folder."""
        (run,) = self.runs.iterdir()
        return run

    def effects(self) -> int:
        """How many effects the relay has recorded so far."""
        ledgers = self.runs.glob(f"*/scenarios/*/relay{SUFFIX}")
        return sum(event.kind is Kind.EFFECT for ledger in ledgers for event in read(ledger)[0])

    def to_group(self, number: signal.Signals) -> None:
        """As a terminal sends it: to the whole process group."""
        os.killpg(self.process.pid, number)

    def end(self) -> Said:
        """Waits until it has ended."""
        out, err = self.process.communicate(timeout=ENDS_WITHIN_S)
        return Said(self.process.returncode, out, err)


@contextmanager
def started(argv: list[str], folder: Path, runs: Path) -> Iterator[Started]:
    """Yields when some effects have been applied, and the workload is still under way."""
    # A job in a shell's background ignores Ctrl-C, and so would what it starts: this one is as typed at a terminal.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", *argv],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            begun = Started(process, runs)
            wait_for(
                "effects of the first scenario",
                ENDS_WITHIN_S,
                lambda: begun.effects() > 3 or process.poll() is not None,
            )
            assert process.poll() is None, begun.end()
            yield begun
        finally:
            if process.poll() is None:
                process.kill()
